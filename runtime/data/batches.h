#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/random/philox.h"
#include "kernels/tensor.h"

namespace sutura {

/// Order in which a site visits its n training records in one epoch: a permutation, a pure function of the arguments.
std::vector<std::int64_t> epoch_order(std::int64_t n, std::uint64_t seed, std::string_view site, std::int64_t epoch);

/// Moves every image by its own random number of pixels, up and down and sideways, each uniform in
/// [-max_shift, max_shift]; what comes in from outside is 0, the centre of standardised pixels.
/// Shapes: [N, H, W, C] float32; signals (H = 1) move along W only.
/// Numbers: record i uses draws 2i and 2i + 1 of the stream, so the result is a pure function of the arguments.
/// Errors: kShapeMismatch unless rank 4; kInvalidArgument for a negative shift.
Tensor shift_images(const Tensor& batch, std::int64_t max_shift, PhiloxStream stream);

}  // namespace sutura
