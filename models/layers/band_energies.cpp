#include "models/layers/band_energies.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random/philox.h"
#include "kernels/cpu/math.h"
#include "kernels/ops/cast/cast.h"
#include "models/cosine.h"
#include "models/layers/option_reader.h"

namespace sutura {
namespace {

constexpr std::int64_t kPictures = 3000;
constexpr std::uint64_t kSeed = 20240501;  // any fixed number: the constants are public
constexpr double kFloor = 1e-3;            // of a cell's mean |value|, so that a flat cell has a finite log

/// Standard normal by Marsaglia's polar method: unlike Box-Muller it needs no cosine, and log is our own, so that every
/// machine gets the same constants to the bit.
double next_normal(PhiloxStream& random) {
  double u = 0.0, square = 0.0;
  while (!(square > 0.0 && square < 1.0)) {
    u = 2.0 * random.next_double() - 1.0;
    const double v = 2.0 * random.next_double() - 1.0;
    square = u * u + v * v;
  }
  return u * std::sqrt(-2.0 * reference::log(square) / square);
}

std::vector<double> gaussian_taps(double sigma) {
  const int radius = static_cast<int>(std::lround(4.0 * sigma));
  std::vector<double> taps;
  double sum = 0.0;
  for (int i = -radius; i <= radius; ++i) {
    taps.push_back(reference::exp(-0.5 * i * i / (sigma * sigma)));
    sum += taps.back();
  }
  for (double& t : taps) t /= sum;
  return taps;
}

/// Index inside [0, n) of a point outside, the line mirrored with its edge value repeated: c b a | a b c | c b a.
std::size_t mirrored(std::int64_t i, std::int64_t n) {
  i %= 2 * n;
  if (i < 0) i += 2 * n;
  return static_cast<std::size_t>(i < n ? i : 2 * n - 1 - i);
}

/// out = `in` [h, w] smoothed along both directions; `between` is scratch of the same size.
void smooth(const std::vector<double>& in, std::size_t h, std::size_t w, const std::vector<double>& taps,
            std::vector<double>& between, std::vector<double>& out) {
  const auto radius = static_cast<std::int64_t>(taps.size() / 2);
  std::ranges::fill(between, 0.0);
  std::ranges::fill(out, 0.0);
  for (std::size_t r = 0; r < h; ++r) {
    for (std::size_t t = 0; t < taps.size(); ++t) {
      const std::size_t from = mirrored(static_cast<std::int64_t>(r + t) - radius, static_cast<std::int64_t>(h));
      for (std::size_t c = 0; c < w; ++c) between[r * w + c] += taps[t] * in[from * w + c];
    }
  }
  for (std::size_t t = 0; t < taps.size(); ++t) {
    for (std::size_t c = 0; c < w; ++c) {
      const std::size_t from = mirrored(static_cast<std::int64_t>(c + t) - radius, static_cast<std::int64_t>(w));
      for (std::size_t r = 0; r < h; ++r) out[r * w + c] += taps[t] * between[r * w + from];
    }
  }
}

/// Orthonormal DCT-II: row u holds s_u cos(pi u (2 i + 1) / (2 n)).
std::vector<double> cosine_basis(std::size_t n) {
  std::vector<double> basis(n * n);
  for (std::size_t u = 0; u < n; ++u)
    for (std::size_t i = 0; i < n; ++i)
      basis[u * n + i] = std::sqrt((u == 0 ? 1.0 : 2.0) / static_cast<double>(n)) *
                         cos_pi(static_cast<double>(u * (2 * i + 1)) / static_cast<double>(2 * n));
  return basis;
}

/// Orthonormal real Fourier basis of a circle of n points and the frequency (cycles per pixel) of each row.
void fourier_basis(std::size_t n, std::vector<double>& basis, std::vector<double>& frequency) {
  basis.assign(n * n, 0.0);
  frequency.assign(n, 0.0);
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t cycles = (k + 1) / 2;
    const bool alone = k == 0 || 2 * cycles == n;  // constant, or the alternating row of an even n
    frequency[k] = static_cast<double>(cycles) / static_cast<double>(n);
    for (std::size_t i = 0; i < n; ++i) {
      const double turns = 2.0 * static_cast<double>((cycles * i) % n) / static_cast<double>(n);  // half turns
      basis[k * n + i] =
          std::sqrt((alone ? 1.0 : 2.0) / static_cast<double>(n)) * cos_pi(k % 2 == 1 || k == 0 ? turns : turns - 0.5);
    }
  }
}

/// The first `count` (row, column) frequencies along the anti-diagonals, alternating in direction, without (0, 0).
std::vector<std::pair<std::size_t, std::size_t>> zigzag(std::size_t h, std::size_t w, std::size_t count) {
  std::vector<std::pair<std::size_t, std::size_t>> order;
  for (std::size_t d = 1; d < h + w - 1 && order.size() < count; ++d) {
    for (std::size_t k = 0; k <= d && order.size() < count; ++k) {
      const std::size_t row = d % 2 == 1 ? k : d - k;
      if (row < h && d - row < w) order.emplace_back(row, d - row);
    }
  }
  return order;
}

}  // namespace

/// Buffers and tables of one run over pictures, so that nothing is allocated per picture.
struct BandEnergies::Scratch {
  Scratch(std::size_t h, std::size_t w, const BandEnergySettings& s)
      : picture(h * w), between(h * w), narrow(h * w), wide(h * w), taps1(gaussian_taps(1.0)), taps2(gaussian_taps(2.0)) {
    if (s.cosines > 0) {
      rows = cosine_basis(h);
      columns = cosine_basis(w);
      order = zigzag(h, w, static_cast<std::size_t>(s.cosines));
    }
  }
  std::vector<double> picture, between, narrow, wide;  // [H, W]
  std::vector<double> taps1, taps2, rows, columns;
  std::vector<std::pair<std::size_t, std::size_t>> order;
};

BandEnergies::BandEnergies(std::int64_t height, std::int64_t width, const BandEnergySettings& settings)
    : height_(static_cast<std::size_t>(height)), width_(static_cast<std::size_t>(width)), settings_(settings) {
  require(height >= 2 && width >= 2 && settings.grid >= 0 && settings.grid <= std::min(height, width), Errc::kInvalidArgument,
          "band_energies: the picture has fewer pixels per side than the grid has cells");
  require(settings.cosines >= 0 && settings.cosines < height * width, Errc::kInvalidArgument,
          "band_energies: more cosines than a picture has coefficients");
  require(feature_count() >= 1, Errc::kInvalidArgument, "band_energies: neither a grid nor cosines are asked for");
  learn_constants();
}

void BandEnergies::raw_features(Scratch& s, std::vector<double>& features) const {
  const auto pixels = static_cast<double>(s.picture.size());
  double mean = 0.0;
  for (const double v : s.picture) mean += v;
  mean /= pixels;
  double variance = 0.0;
  for (const double v : s.picture) variance += (v - mean) * (v - mean);
  const double sd = std::sqrt(variance / pixels);
  // Rounding leaves a flat picture a tiny sd, which must not be blown up into texture.
  const double factor = sd <= 1e-9 * (1.0 + std::abs(mean)) ? 0.0 : 1.0 / sd;
  for (double& v : s.picture) v = (v - mean) * factor;

  std::size_t next = 0;
  const auto grid = static_cast<std::size_t>(settings_.grid);
  if (grid > 0) {
    smooth(s.picture, height_, width_, s.taps1, s.between, s.narrow);
    smooth(s.picture, height_, width_, s.taps2, s.between, s.wide);
  }
  for (std::size_t gr = 0; gr < grid; ++gr) {
    for (std::size_t gc = 0; gc < grid; ++gc) {
      const std::size_t r0 = gr * height_ / grid, r1 = (gr + 1) * height_ / grid;
      const std::size_t c0 = gc * width_ / grid, c1 = (gc + 1) * width_ / grid;
      double sum = 0.0;
      for (std::size_t r = r0; r < r1; ++r)
        for (std::size_t c = c0; c < c1; ++c) sum += std::abs(s.narrow[r * width_ + c] - s.wide[r * width_ + c]);
      const double energy = sum / static_cast<double>((r1 - r0) * (c1 - c0));
      features[next++] = reference::log(energy < kFloor ? kFloor : energy);  // in this order NaN stays NaN
    }
  }
  for (const auto& [u, v] : s.order) {
    double sum = 0.0;
    for (std::size_t r = 0; r < height_; ++r) {
      double row = 0.0;
      for (std::size_t c = 0; c < width_; ++c) row += s.picture[r * width_ + c] * s.columns[v * width_ + c];
      sum += row * s.rows[u * height_ + r];
    }
    features[next++] = sum;
  }
}

void BandEnergies::learn_constants() {
  std::vector<double> rows, columns, row_frequency, column_frequency;
  fourier_basis(height_, rows, row_frequency);
  fourier_basis(width_, columns, column_frequency);
  // White noise stays white in any orthonormal basis, so scaling its coefficients by f^-exponent is the spectral synthesis
  // of a periodic picture; the constant coefficient is left out.
  std::vector<double> amplitude(height_ * width_, 0.0);
  for (std::size_t k = 0; k < amplitude.size(); ++k) {
    const double fr = row_frequency[k / width_], fc = column_frequency[k % width_];
    if (k > 0) amplitude[k] = reference::exp(-0.5 * settings_.exponent * reference::log(fr * fr + fc * fc));
  }
  Scratch s(height_, width_, settings_);
  std::vector<double> coefficient(height_ * width_);
  std::vector<double> half(height_ * width_);  // [row frequency, column]
  std::vector<double> features(feature_count());
  std::vector<double> sum(feature_count()), square(feature_count());
  for (std::int64_t picture = 0; picture < kPictures; ++picture) {
    PhiloxStream random(kSeed, "band_energies", static_cast<std::uint64_t>(picture));
    for (std::size_t k = 0; k < coefficient.size(); ++k) coefficient[k] = amplitude[k] * next_normal(random);
    std::ranges::fill(half, 0.0);
    std::ranges::fill(s.picture, 0.0);
    for (std::size_t u = 0; u < height_; ++u)
      for (std::size_t v = 0; v < width_; ++v)
        for (std::size_t c = 0; c < width_; ++c) half[u * width_ + c] += coefficient[u * width_ + v] * columns[v * width_ + c];
    for (std::size_t u = 0; u < height_; ++u)
      for (std::size_t r = 0; r < height_; ++r)
        for (std::size_t c = 0; c < width_; ++c) s.picture[r * width_ + c] += rows[u * height_ + r] * half[u * width_ + c];
    raw_features(s, features);
    for (std::size_t k = 0; k < features.size(); ++k) {
      sum[k] += features[k];
      square[k] += features[k] * features[k];
    }
  }
  for (std::size_t k = 0; k < sum.size(); ++k) {
    const double mean = sum[k] / static_cast<double>(kPictures);
    const double variance = square[k] / static_cast<double>(kPictures) - mean * mean;
    centre_.push_back(mean);
    spread_.push_back(variance > 0.0 ? std::sqrt(variance) : 1.0);
  }
}

Shape BandEnergies::output_shape(const Shape& x) const {
  require(x.rank() == 4 && x[1] == static_cast<std::int64_t>(height_) && x[2] == static_cast<std::int64_t>(width_) && x[3] == 1,
          Errc::kShapeMismatch,
          "layer " + name() + " (band_energies) takes [N, " + std::to_string(height_) + ", " + std::to_string(width_) +
              ", 1], got " + x.text());
  return {x[0], static_cast<std::int64_t>(feature_count())};
}

double BandEnergies::flops(const Shape& x) const {
  const double per_pixel = (settings_.grid > 0 ? 2.0 * 2.0 * (9 + 17) : 0.0) + 2.0 * static_cast<double>(settings_.cosines);
  return per_pixel * static_cast<double>(x.elements());
}

Tensor BandEnergies::do_forward(Context& ctx, const ParamView&, Tensor x, Saved&, const Pass&) const {
  const Tensor in = ctx.host(cast(ctx, x, DType::kFloat32));  // [N, H, W, 1]
  Tensor y(output_shape(x.shape()));                // [N, F]
  Scratch s(height_, width_, settings_);
  std::vector<double> features(feature_count());
  const auto from = in.f32();
  auto to = y.f32().begin();
  for (std::size_t begin = 0; begin < from.size(); begin += s.picture.size()) {
    std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(begin), s.picture.size(), s.picture.begin());
    raw_features(s, features);
    for (std::size_t k = 0; k < features.size(); ++k) *to++ = static_cast<float>((features[k] - centre_[k]) / spread_[k]);
  }
  return cast(ctx, ctx.here(std::move(y)), x.dtype());
}

Tensor BandEnergies::do_backward(Context&, const ParamView&, Saved&, Tensor, InputGrad) const {
  throw Error(Errc::kInternal, "layer " + name() + " (band_energies) is a public front and has no backward");
}

LayerPtr make_band_energies(OptionReader& options, const Shape& x) {
  if (x.rank() != 4 || x[3] != 1 || x[1] < 2 || x[2] < 2) options.fail("takes grey pictures [N, H, W, 1], got " + x.text());
  BandEnergySettings s;
  s.grid = options.integer("grid", s.grid, 0, std::min(x[1], x[2]));
  s.cosines = options.integer("cosines", s.cosines, 0, x[1] * x[2] - 1);
  s.exponent = options.number("exponent", s.exponent, 0.0, 4.0);
  if (s.grid == 0 && s.cosines == 0) options.fail("needs a grid or cosines");
  return std::make_unique<BandEnergies>(x[1], x[2], s);
}

}  // namespace sutura
