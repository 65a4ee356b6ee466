#pragma once
#include <vector>

#include "models/layer.h"

namespace sutura {

class OptionReader;

struct BandEnergySettings {
  std::int64_t grid = 4;     ///< cells per side; 0: no band energies
  std::int64_t cosines = 0;  ///< low-frequency DCT-II coefficients, zig-zag order, without the constant one
  double exponent = 1.5;     ///< of the 1/f^exponent amplitude spectrum of the synthetic pictures
};

/// A public front for grey pictures: a few texture numbers that were fixed before any patient's picture was seen.
/// 1. The picture is standardised by itself (mean 0, sd 1; a flat picture becomes zeros).
/// 2. Difference of Gaussians, sigma 1 px minus sigma 2 px (separable, taps to 4 sigma, the picture mirrored at its edges
///    with the edge pixel repeated); the feature of a cell is log(max(mean |value|, 0.001)).
/// 3. `cosines` orthonormal DCT-II coefficients of the standardised picture.
/// 4. Each feature minus its mean, divided by its sd, both over 3,000 synthetic noise pictures of the same size with
///    amplitude spectrum 1/f^exponent: constants, computed at construction from a fixed Philox key, never from data.
///
/// Shapes: x [N, H, W, 1], y [N, grid * grid + cosines]. Rows of cells first, then cosines.
/// Numbers: computed in double from float32 input; a picture with NaN or infinity gives a NaN row, no other row changes.
/// Cost: construction takes about (H + W) * H * W * 6000 multiply-adds, 0.3 s for 28 x 28.
/// Errors: kShapeMismatch naming the layer; backward is kInternal, because nothing before a public front trains.
class BandEnergies final : public Layer {
 public:
  /// Errors: kInvalidArgument if the picture is smaller than the grid or has fewer coefficients than asked for.
  BandEnergies(std::int64_t height, std::int64_t width, const BandEnergySettings& settings = {});
  Shape output_shape(const Shape& x) const override;
  double flops(const Shape& x) const override;
  bool has_backward() const override { return false; }
  /// Mean and sd of each feature over the synthetic pictures.
  const std::vector<double>& centre() const { return centre_; }
  const std::vector<double>& spread() const { return spread_; }

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;

 private:
  struct Scratch;
  /// Step 1 to 3 for the picture in scratch, into `features`.
  void raw_features(Scratch& scratch, std::vector<double>& features) const;
  void learn_constants();
  std::size_t feature_count() const { return static_cast<std::size_t>(settings_.grid * settings_.grid + settings_.cosines); }

  std::size_t height_;
  std::size_t width_;
  BandEnergySettings settings_;
  std::vector<double> centre_;
  std::vector<double> spread_;
};

/// Options: `grid` (4), `cosines` (0), `exponent` (1.5).
LayerPtr make_band_energies(OptionReader& options, const Shape& x);

}  // namespace sutura
