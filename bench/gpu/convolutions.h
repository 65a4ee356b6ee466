#pragma once
#include <string>
#include <vector>

#include "bench/gpu/measure.h"
#include "kernels/ops/conv2d/conv2d.h"

namespace sutura::bench {

/// One convolution of the list, square images.
struct Convolution {
  std::string name;  ///< "28px.stage2.3x3s2"
  std::int64_t pixels, channels, filters;
  Conv2dSpec spec;
  double flops(std::int64_t batch) const;  ///< of one direction
};
enum class Direction { kForward, kData, kWeights };
std::string name(Direction d);  ///< "fprop", "dgrad", "wgrad"

/// The different convolutions of ResNet-18's stages 2 to 4 (15 of them, 9 kinds) for pictures of 28 (stem for small images), 64 and
/// 224 pixels (ImageNet's stem); a single small one for kTiny.
std::vector<Convolution> convolutions(Effort effort);
std::vector<std::int64_t> batches(Effort effort);
/// "conv.28px.stage2.3x3s2.b128.fprop": the same for our kernels and the library's, so that the table can divide.
std::string key(const Convolution& c, std::int64_t batch, Direction d);

/// Seconds of each on the native backend in bfloat16, as a training step calls it: weights have a bfloat16 copy, gradients of
/// weights are added in float32.
void measure_convolutions(Report& report);

}  // namespace sutura::bench
