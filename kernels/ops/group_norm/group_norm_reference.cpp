#include <cmath>
#include <vector>

#include "kernels/cpu/reduce.h"
#include "kernels/ops/channel_sums_reference.h"
#include "kernels/ops/group_norm/group_norm_impl.h"

namespace sutura::reference {

namespace {

struct Sizes {
  std::int64_t records, positions, channels, groups, per_group;
  double count() const { return static_cast<double>(positions * per_group); }
};

Sizes sizes_of(const Shape& x, std::int64_t groups) {
  const std::int64_t channels = x[x.rank() - 1];
  return {x[0], x.row_elements() / channels, channels, groups, channels / groups};
}

/// Adds the channels of group g, left to right.
double group_sum(const Sizes& z, const std::vector<double>& channel, std::int64_t g) {
  double sum = 0.0;
  for (std::int64_t c = g * z.per_group; c < (g + 1) * z.per_group; ++c) sum += channel[static_cast<std::size_t>(c)];
  return sum;
}

}  // namespace

void group_norm_forward(Context&, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                        Tensor& y, Tensor& mean, Tensor& rstd) {
  const Sizes z = sizes_of(x.shape(), groups);
  const auto channels = static_cast<std::size_t>(z.channels);
  std::vector<double> sums(channels), block, means(channels), rstds(channels);
  const float* gammas = gamma.f32().data();
  const float* betas = beta.f32().data();
  for (std::int64_t n = 0; n < z.records; ++n) {
    const float* from = x.f32().data() + n * z.positions * z.channels;
    float* to = y.f32().data() + n * z.positions * z.channels;
    channel_sums(z.positions, z.channels, sums.data(), block, [&](std::int64_t i, std::int64_t) { return double{from[i]}; });
    for (std::int64_t g = 0; g < groups; ++g) {
      std::fill_n(means.begin() + g * z.per_group, z.per_group, group_sum(z, sums, g) / z.count());
    }
    // Second pass around the mean: no cancellation when the mean is large against the deviation.
    channel_sums(z.positions, z.channels, sums.data(), block, [&](std::int64_t i, std::int64_t c) {
      const double d = from[i] - means[static_cast<std::size_t>(c)];
      return d * d;
    });
    for (std::int64_t g = 0; g < groups; ++g) {
      const double r = 1.0 / std::sqrt(group_sum(z, sums, g) / z.count() + eps);
      std::fill_n(rstds.begin() + g * z.per_group, z.per_group, r);
      const auto at = static_cast<std::size_t>(n * groups + g);
      mean.f32()[at] = static_cast<float>(means[static_cast<std::size_t>(g * z.per_group)]);
      rstd.f32()[at] = static_cast<float>(r);
    }
    for (std::int64_t p = 0; p < z.positions; ++p) {
      for (std::int64_t c = 0; c < z.channels; ++c) {
        const auto k = static_cast<std::size_t>(c);
        const std::int64_t i = p * z.channels + c;
        to[i] = static_cast<float>((from[i] - means[k]) * rstds[k] * gammas[c] + betas[c]);
      }
    }
  }
}

void group_norm_backward(Context&, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                         const Tensor& mean, const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  const Sizes z = sizes_of(x.shape(), groups);
  const auto channels = static_cast<std::size_t>(z.channels);
  std::vector<double> sum_g(channels), sum_gh(channels), weighted(channels), block;
  std::vector<double> means(channels), rstds(channels), mean_g(channels), mean_gh(channels);
  const float* gammas = gamma.f32().data();
  PairwiseSum<double> parameters(2 * channels);  // one record's grad_gamma, then grad_beta
  for (std::int64_t n = 0; n < z.records; ++n) {
    const float* xs = x.f32().data() + n * z.positions * z.channels;
    const float* gs = grad_y.f32().data() + n * z.positions * z.channels;
    float* to = grad_x.f32().data() + n * z.positions * z.channels;
    for (std::int64_t c = 0; c < z.channels; ++c) {
      const auto at = static_cast<std::size_t>(n * groups + c / z.per_group);
      means[static_cast<std::size_t>(c)] = mean.f32()[at];
      rstds[static_cast<std::size_t>(c)] = rstd.f32()[at];
    }
    const auto normalised = [&](std::int64_t i, std::int64_t c) {
      return (xs[i] - means[static_cast<std::size_t>(c)]) * rstds[static_cast<std::size_t>(c)];
    };
    channel_sums(z.positions, z.channels, sum_g.data(), block, [&](std::int64_t i, std::int64_t) { return double{gs[i]}; });
    channel_sums(z.positions, z.channels, sum_gh.data(), block,
                 [&](std::int64_t i, std::int64_t c) { return gs[i] * normalised(i, c); });
    const auto spread_mean = [&](const std::vector<double>& sums, std::vector<double>& out) {
      for (std::size_t c = 0; c < channels; ++c) weighted[c] = sums[c] * gammas[c];
      for (std::int64_t g = 0; g < groups; ++g) {
        std::fill_n(out.begin() + g * z.per_group, z.per_group, group_sum(z, weighted, g) / z.count());
      }
    };
    spread_mean(sum_g, mean_g);
    spread_mean(sum_gh, mean_gh);
    for (std::int64_t p = 0; p < z.positions; ++p) {
      for (std::int64_t c = 0; c < z.channels; ++c) {
        const auto k = static_cast<std::size_t>(c);
        const std::int64_t i = p * z.channels + c;
        const double g = double{gs[i]} * gammas[c];
        to[i] = static_cast<float>(rstds[k] * (g - mean_g[k] - normalised(i, c) * mean_gh[k]));
      }
    }
    std::ranges::copy(sum_gh, parameters.leaf().begin());
    std::ranges::copy(sum_g, parameters.leaf().begin() + z.channels);
    parameters.push();
  }
  const auto total = parameters.total();
  for (std::size_t c = 0; c < channels; ++c) {
    grad_gamma.f32()[c] += static_cast<float>(total[c]);
    grad_beta.f32()[c] += static_cast<float>(total[channels + c]);
  }
}

}  // namespace sutura::reference
