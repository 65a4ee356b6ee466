#include <cmath>
#include <vector>

#include "kernels/cpu/reduce.h"
#include "kernels/ops/batch_norm/batch_norm_impl.h"
#include "kernels/ops/channel_sums_reference.h"

namespace sutura::reference {

namespace {

struct Sizes {
  std::int64_t records, positions, channels;
  double count() const { return static_cast<double>(records * positions); }
};

Sizes sizes_of(const Shape& x) {
  const std::int64_t channels = x[x.rank() - 1];
  return {x[0], x.row_elements() / channels, channels};
}

/// Per channel, the sum over all records and positions of term(element index, channel): per record, then a tree by
/// record.
template <class Term>
std::vector<double> batch_sums(const Sizes& z, Term term) {
  PairwiseSum<double> sum(static_cast<std::size_t>(z.channels));
  std::vector<double> block;
  for (std::int64_t n = 0; n < z.records; ++n) {
    const std::int64_t begin = n * z.positions * z.channels;
    channel_sums(z.positions, z.channels, sum.leaf().data(), block,
                 [&](std::int64_t i, std::int64_t c) { return term(begin + i, static_cast<std::size_t>(c)); });
    sum.push();
  }
  const auto total = sum.total();
  return {total.begin(), total.end()};
}

/// value(element index, channel) for every element.
template <class Value>
void for_elements(const Sizes& z, Value value) {
  const std::int64_t rows = z.records * z.positions;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t c = 0; c < z.channels; ++c) value(row * z.channels + c, static_cast<std::size_t>(c));
  }
}

}  // namespace

void batch_norm_forward_train(Context&, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  const Sizes z = sizes_of(x.shape());
  const auto channels = static_cast<std::size_t>(z.channels);
  const float* from = x.f32().data();
  std::vector<double> means = batch_sums(z, [&](std::int64_t i, std::size_t) { return double{from[i]}; });
  for (double& m : means) m /= z.count();
  const std::vector<double> squares = batch_sums(z, [&](std::int64_t i, std::size_t c) {
    const double d = from[i] - means[c];
    return d * d;
  });
  std::vector<double> rstds(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    rstds[c] = 1.0 / std::sqrt(squares[c] / z.count() + eps);
    mean.f32()[c] = static_cast<float>(means[c]);
    rstd.f32()[c] = static_cast<float>(rstds[c]);
    const double keep = 1.0 - momentum;
    running_mean.f32()[c] = static_cast<float>(keep * running_mean.f32()[c] + momentum * means[c]);
    running_var.f32()[c] = static_cast<float>(keep * running_var.f32()[c] + momentum * (squares[c] / (z.count() - 1.0)));
  }
  const float* gammas = gamma.f32().data();
  const float* betas = beta.f32().data();
  float* to = y.f32().data();
  for_elements(z, [&](std::int64_t i, std::size_t c) {
    to[i] = static_cast<float>((from[i] - means[c]) * rstds[c] * gammas[c] + betas[c]);
  });
}

void batch_norm_forward_evaluate(Context&, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                 const Tensor& running_mean, const Tensor& running_var, Tensor& y) {
  const Sizes z = sizes_of(x.shape());
  const float* from = x.f32().data();
  const float* means = running_mean.f32().data();
  const float* betas = beta.f32().data();
  std::vector<double> scale(static_cast<std::size_t>(z.channels));
  for (std::size_t c = 0; c < scale.size(); ++c) {
    scale[c] = gamma.f32()[c] / std::sqrt(double{running_var.f32()[c]} + eps);
  }
  float* to = y.f32().data();
  for_elements(
      z, [&](std::int64_t i, std::size_t c) { to[i] = static_cast<float>((double{from[i]} - means[c]) * scale[c] + betas[c]); });
}

void batch_norm_backward(Context&, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  const Sizes z = sizes_of(x.shape());
  const float* xs = x.f32().data();
  const float* gs = grad_y.f32().data();
  const float* gammas = gamma.f32().data();
  const float* means = mean.f32().data();
  const float* rstds = rstd.f32().data();
  const auto normalised = [&](std::int64_t i, std::size_t c) { return (double{xs[i]} - means[c]) * rstds[c]; };
  const std::vector<double> sum_g = batch_sums(z, [&](std::int64_t i, std::size_t) { return double{gs[i]}; });
  const std::vector<double> sum_gh = batch_sums(z, [&](std::int64_t i, std::size_t c) { return gs[i] * normalised(i, c); });
  float* to = grad_x.f32().data();
  for_elements(z, [&](std::int64_t i, std::size_t c) {
    const double centred = gs[i] - sum_g[c] / z.count() - normalised(i, c) * (sum_gh[c] / z.count());
    to[i] = static_cast<float>(double{gammas[c]} * rstds[c] * centred);
  });
  for (std::size_t c = 0; c < sum_g.size(); ++c) {
    grad_gamma.f32()[c] += static_cast<float>(sum_gh[c]);
    grad_beta.f32()[c] += static_cast<float>(sum_g[c]);
  }
}

}  // namespace sutura::reference
