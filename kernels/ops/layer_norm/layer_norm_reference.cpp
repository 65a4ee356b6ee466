#include <cmath>
#include <vector>

#include "kernels/cpu/reduce.h"
#include "kernels/ops/layer_norm/layer_norm_impl.h"

namespace sutura::reference {

void layer_norm_forward(Context&, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y, Tensor& mean,
                        Tensor& rstd) {
  const std::size_t channels = gamma.f32().size();
  const std::size_t rows = mean.f32().size();
  std::vector<double> squares(channels);
  const auto gammas = gamma.f32();
  const auto betas = beta.f32();
  for (std::size_t row = 0; row < rows; ++row) {
    const auto from = x.f32().subspan(row * channels, channels);
    const auto to = y.f32().subspan(row * channels, channels);
    const double m = sum_tree(from) / static_cast<double>(channels);
    for (std::size_t c = 0; c < channels; ++c) squares[c] = (from[c] - m) * (from[c] - m);
    const double r = 1.0 / std::sqrt(sum_tree(squares) / static_cast<double>(channels) + eps);
    for (std::size_t c = 0; c < channels; ++c) to[c] = static_cast<float>((from[c] - m) * r * gammas[c] + betas[c]);
    mean.f32()[row] = static_cast<float>(m);
    rstd.f32()[row] = static_cast<float>(r);
  }
}

void layer_norm_backward(Context&, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  const std::size_t channels = gamma.f32().size();
  const std::size_t rows = mean.f32().size();
  const auto gammas = gamma.f32();
  std::vector<double> normalised(channels), g(channels), gh(channels);
  PairwiseSum<double> parameters(2 * channels);  // one row's grad_gamma, then grad_beta
  for (std::size_t row = 0; row < rows; ++row) {
    const auto xs = x.f32().subspan(row * channels, channels);
    const auto gs = grad_y.f32().subspan(row * channels, channels);
    const auto to = grad_x.f32().subspan(row * channels, channels);
    const auto leaf = parameters.leaf();
    const double m = mean.f32()[row];
    const double r = rstd.f32()[row];
    for (std::size_t c = 0; c < channels; ++c) {
      normalised[c] = (xs[c] - m) * r;
      g[c] = double{gs[c]} * gammas[c];
      gh[c] = g[c] * normalised[c];
      leaf[c] = gs[c] * normalised[c];
      leaf[channels + c] = gs[c];
    }
    parameters.push();
    const double mean_g = sum_tree(g) / static_cast<double>(channels);
    const double mean_gh = sum_tree(gh) / static_cast<double>(channels);
    for (std::size_t c = 0; c < channels; ++c) to[c] = static_cast<float>(r * (g[c] - mean_g - normalised[c] * mean_gh));
  }
  const auto total = parameters.total();
  for (std::size_t c = 0; c < channels; ++c) {
    grad_gamma.f32()[c] += static_cast<float>(total[c]);
    grad_beta.f32()[c] += static_cast<float>(total[channels + c]);
  }
}

}  // namespace sutura::reference
