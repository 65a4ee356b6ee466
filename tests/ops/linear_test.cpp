#include "kernels/ops/linear/linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "operation.h"
#include "shape_list.h"

namespace sutura::testing {
namespace {

Operation linear_operation(std::int64_t n, std::int64_t in, std::int64_t out) {
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  Operation o;
  o.name.append("n").append(std::to_string(n)).append("_i").append(std::to_string(in)).append("_o").append(std::to_string(out));
  o.inputs = {{"x", {n, in}}, {"weight", {out, in}, Role::kParameter}, {"bias", {out}, Role::kParameter}};
  o.output = {n, out};
  o.oracle = [=](const Arrays& a) {
    Values y;
    for (std::int64_t r = 0; r < n; ++r) {
      for (std::int64_t c = 0; c < out; ++c) {
        double sum = a[2][at(c)], size = std::abs(sum);
        for (std::int64_t i = 0; i < in; ++i) {
          sum += a[0][at(r * in + i)] * a[1][at(c * in + i)];
          size += std::abs(a[0][at(r * in + i)] * a[1][at(c * in + i)]);
        }
        y.value.push_back(sum);
        y.magnitude.push_back(size);
      }
    }
    return y;
  };
  o.forward = [](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) {
    linear_forward(ctx, t[0], t[1], t[2], y);
  };
  o.backward = [](Context& ctx, const std::vector<Tensor>& t, const Tensor&, const std::vector<Tensor>&, const Tensor& g,
                  std::vector<Tensor>& grads) {
    linear_backward_data(ctx, g, t[1], grads[0]);
    linear_backward_weights(ctx, t[0], g, grads[1], grads[2]);
  };
  o.gradient = [=](const Arrays& a, const std::vector<double>& g) {
    std::vector<Values> grads(3);
    for (std::size_t k = 0; k < 3; ++k) {
      grads[k].value.assign(a[k].size(), 0.0);
      grads[k].magnitude.assign(a[k].size(), 0.0);
    }
    const auto put = [&](std::size_t k, std::int64_t i, double v) {
      grads[k].value[at(i)] += v;
      grads[k].magnitude[at(i)] += std::abs(v);
    };
    for (std::int64_t r = 0; r < n; ++r) {
      for (std::int64_t c = 0; c < out; ++c) {
        const double v = g[at(r * out + c)];
        put(2, c, v);
        for (std::int64_t i = 0; i < in; ++i) {
          put(0, r * in + i, v * a[1][at(c * in + i)]);
          put(1, c * in + i, v * a[0][at(r * in + i)]);
        }
      }
    }
    return grads;
  };
  // A sum of k rounded terms errs by about sqrt(k) * 2^-24 of the sum of their sizes, 4 for the tail of that distribution.
  o.tolerance = o.gradient_tolerance = 4.0 * std::sqrt(2.0 + static_cast<double>(std::max({n, in, out}))) * 0x1p-24;
  product_tolerances(o);
  return o;
}

std::vector<Operation> operations() {
  std::vector<Operation> list;
  for (const auto& s : shape_list("linear", 3)) list.push_back(linear_operation(s[0], s[1], s[2]));
  return list;
}

class Linear : public ::testing::TestWithParam<std::tuple<Operation, Variant>> {};
TEST_P(Linear, MatchesOracle) { check_operation(std::get<0>(GetParam()), std::get<1>(GetParam())); }
INSTANTIATE_TEST_SUITE_P(Shapes, Linear,
                         ::testing::Combine(::testing::ValuesIn(operations()), ::testing::ValuesIn(all_variants())),
                         [](const auto& i) { return std::get<0>(i.param).name + "_" + text(std::get<1>(i.param)); });

class LinearBackend : public ::testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Backends, LinearBackend, ::testing::ValuesIn(f32_variants()),
                         [](const auto& i) { return text(i.param); });

TEST_P(LinearBackend, NoBiasIsZeroBias) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const auto doubles = [&](const Tensor& t) { return to_doubles(ctx->host(Tensor::borrow(t))); };
  const Tensor x = ctx->here(to_tensor(draw_values({"x", {3, 7}}, DType::kFloat32, 1), {3, 7}, DType::kFloat32));
  const Tensor w = ctx->here(to_tensor(draw_values({"w", {5, 7}}, DType::kFloat32, 1), {5, 7}, DType::kFloat32));
  Tensor with = ctx->tensor({3, 5}), without = ctx->tensor({3, 5}), no_bias;
  const Tensor zero = ctx->zeros({5});
  linear_forward(*ctx, x, w, zero, with);
  linear_forward(*ctx, x, w, no_bias, without);
  EXPECT_LE(worst_error(doubles(without), {doubles(with), {}}), 1e-6);
  Tensor grad_w = ctx->zeros({5, 7}), grad_w_alone = ctx->zeros({5, 7}), grad_b = ctx->zeros({5});
  linear_backward_weights(*ctx, x, with, grad_w, grad_b);
  linear_backward_weights(*ctx, x, with, grad_w_alone, no_bias);
  EXPECT_LE(worst_error(doubles(grad_w_alone), {doubles(grad_w), {}}), 1e-6);
}

TEST_P(LinearBackend, NanStaysInItsRow) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  Tensor x = to_tensor(draw_values({"x", {4, 9}}, DType::kFloat32, 2), {4, 9}, DType::kFloat32);
  x.f32()[2 * 9 + 3] = NAN;
  const Tensor w = ctx->here(to_tensor(draw_values({"w", {6, 9}}, DType::kFloat32, 2), {6, 9}, DType::kFloat32));
  Tensor y = ctx->tensor({4, 6}), no_bias;
  linear_forward(*ctx, ctx->here(std::move(x)), w, no_bias, y);
  const Tensor got = ctx->host(std::move(y));
  for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(std::isnan(got.f32()[i]), i / 6 == 2) << i;
}

}  // namespace
}  // namespace sutura::testing
