#include "kernels/ops/conv2d/conv2d.h"

#include <gtest/gtest.h>

#include <cmath>

#include "operation.h"
#include "shape_list.h"

namespace sutura::testing {
namespace {

/// Calls visit(x index, weight index, y index) for every multiply-add of the convolution, by its definition.
template <class Visit>
void for_products(const Conv2dSpec& s, const Shape& x, const Shape& w, const Shape& y, Visit visit) {
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t p = 0; p < y[1]; ++p) {
      for (std::int64_t q = 0; q < y[2]; ++q) {
        for (std::int64_t k = 0; k < y[3]; ++k) {
          for (std::int64_t r = 0; r < w[1]; ++r) {
            for (std::int64_t t = 0; t < w[2]; ++t) {
              const std::int64_t i = p * s.stride_h + r - s.pad_h;
              const std::int64_t j = q * s.stride_w + t - s.pad_w;
              if (i < 0 || i >= x[1] || j < 0 || j >= x[2]) continue;
              for (std::int64_t c = 0; c < x[3]; ++c) {
                visit(static_cast<std::size_t>(((n * x[1] + i) * x[2] + j) * x[3] + c),
                      static_cast<std::size_t>(((k * w[1] + r) * w[2] + t) * w[3] + c),
                      static_cast<std::size_t>(((n * y[1] + p) * y[2] + q) * y[3] + k));
              }
            }
          }
        }
      }
    }
  }
}

struct Case {
  Shape x, w;
  Conv2dSpec spec;
};

Case case_of(const std::vector<std::int64_t>& v) {
  return {{v[0], v[1], v[2], v[3]}, {v[4], v[5], v[6], v[3]}, {v[5], v[6], v[7], v[8], v[9], v[10]}};
}

Operation conv_operation(const Case& k) {
  Operation o;
  for (const std::int64_t d :
       {k.x[0], k.x[1], k.x[2], k.x[3], k.w[0], k.w[1], k.w[2], k.spec.stride_h, k.spec.stride_w, k.spec.pad_h, k.spec.pad_w}) {
    o.name.append(o.name.empty() ? "" : "_").append(std::to_string(d));
  }
  o.inputs = {{"x", k.x}, {"weight", k.w, Role::kParameter}, {"bias", {k.w[0]}, Role::kParameter}};
  const Shape y_shape = o.output = k.spec.output_shape(k.x, k.w[0]);
  const auto filters = static_cast<std::size_t>(k.w[0]);
  o.oracle = [=](const Arrays& a) {
    Values y;
    for (std::size_t i = 0; i < static_cast<std::size_t>(y_shape.elements()); ++i) {
      y.value.push_back(a[2][i % filters]);
      y.magnitude.push_back(std::abs(y.value.back()));
    }
    for_products(k.spec, k.x, k.w, y_shape, [&](std::size_t i, std::size_t j, std::size_t out) {
      y.value[out] += a[0][i] * a[1][j];
      y.magnitude[out] += std::abs(a[0][i] * a[1][j]);
    });
    return y;
  };
  o.forward = [spec = k.spec](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) {
    conv2d_forward(ctx, spec, t[0], t[1], t[2], y);
  };
  o.backward = [spec = k.spec](Context& ctx, const std::vector<Tensor>& t, const Tensor&, const std::vector<Tensor>&,
                               const Tensor& g, std::vector<Tensor>& grads) {
    conv2d_backward_data(ctx, spec, g, t[1], grads[0]);
    conv2d_backward_weights(ctx, spec, t[0], g, grads[1], grads[2]);
  };
  o.gradient = [=](const Arrays& a, const std::vector<double>& g) {
    std::vector<Values> grads(3);
    for (std::size_t i = 0; i < 3; ++i) {
      grads[i].value.assign(a[i].size(), 0.0);
      grads[i].magnitude.assign(a[i].size(), 0.0);
    }
    const auto put = [&](std::size_t which, std::size_t at, double v) {
      grads[which].value[at] += v;
      grads[which].magnitude[at] += std::abs(v);
    };
    for (std::size_t i = 0; i < g.size(); ++i) put(2, i % filters, g[i]);
    for_products(k.spec, k.x, k.w, y_shape, [&](std::size_t i, std::size_t j, std::size_t out) {
      put(0, i, g[out] * a[1][j]);
      put(1, j, g[out] * a[0][i]);
    });
    return grads;
  };
  // As for linear: about sqrt(terms) * 2^-24 of the sum of sizes, 4 for the tail; the longest sum of the three directions counts.
  const double terms =
      static_cast<double>(std::max({k.w.row_elements(), k.w[0] * k.w[1] * k.w[2], k.x[0] * y_shape[1] * y_shape[2]}));
  o.tolerance = o.gradient_tolerance = 4.0 * std::sqrt(2.0 + terms) * 0x1p-24;
  product_tolerances(o);
  // The library rounds the finished sums to bfloat16 before the bias is added: 2^-8 once more, and 2^-15 for two or three at once.
  o.cudnn_half_excess = 0x1p-8 + 0x1p-15;
  return o;
}

std::vector<Operation> operations() {
  std::vector<Operation> list;
  for (const auto& row : shape_list("conv2d", 11)) list.push_back(conv_operation(case_of(row)));
  return list;
}

class Conv2d : public ::testing::TestWithParam<std::tuple<Operation, Variant>> {};
TEST_P(Conv2d, MatchesOracle) { check_operation(std::get<0>(GetParam()), std::get<1>(GetParam())); }
INSTANTIATE_TEST_SUITE_P(Shapes, Conv2d,
                         ::testing::Combine(::testing::ValuesIn(operations()), ::testing::ValuesIn(all_variants())),
                         [](const auto& i) { return "s" + std::get<0>(i.param).name + "_" + text(std::get<1>(i.param)); });

class Conv2dBackend : public ::testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Backends, Conv2dBackend, ::testing::ValuesIn(f32_variants()),
                         [](const auto& i) { return text(i.param); });

TEST_P(Conv2dBackend, NanReachesExactlyTheWindowsThatCoverIt) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Conv2dSpec spec{3, 3, 1, 1, 1, 1};
  Tensor x = to_tensor(draw_values({"x", {2, 6, 6, 2}}, DType::kFloat32, 3), {2, 6, 6, 2}, DType::kFloat32);
  x.f32()[((1 * 6 + 3) * 6 + 4) * 2 + 1] = NAN;  // record 1, row 3, column 4
  const Tensor w = ctx->here(to_tensor(draw_values({"w", {3, 3, 3, 2}}, DType::kFloat32, 3), {3, 3, 3, 2}, DType::kFloat32));
  Tensor on_ctx = ctx->tensor(spec.output_shape(x.shape(), 3)), no_bias;
  conv2d_forward(*ctx, spec, ctx->here(std::move(x)), w, no_bias, on_ctx);
  const Tensor y = ctx->host(std::move(on_ctx));
  for (std::int64_t n = 0; n < 2; ++n) {
    for (std::int64_t p = 0; p < 6; ++p) {
      for (std::int64_t q = 0; q < 6; ++q) {
        const bool covers = n == 1 && std::abs(p - 3) <= 1 && std::abs(q - 4) <= 1;
        EXPECT_EQ(std::isnan(y.f32()[static_cast<std::size_t>(((n * 6 + p) * 6 + q) * 3)]), covers) << n << " " << p << " " << q;
      }
    }
  }
}

TEST_P(Conv2dBackend, NoBiasIsZeroBias) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Conv2dSpec spec{3, 3, 2, 2, 1, 1};
  const auto doubles = [&](const Tensor& t) { return to_doubles(ctx->host(Tensor::borrow(t))); };
  const Tensor x = ctx->here(to_tensor(draw_values({"x", {2, 6, 6, 3}}, DType::kFloat32, 4), {2, 6, 6, 3}, DType::kFloat32));
  const Tensor w = ctx->here(to_tensor(draw_values({"w", {5, 3, 3, 3}}, DType::kFloat32, 4), {5, 3, 3, 3}, DType::kFloat32));
  Tensor with = ctx->tensor(spec.output_shape(x.shape(), 5)), without = ctx->tensor(with.shape()), no_bias;
  conv2d_forward(*ctx, spec, x, w, ctx->zeros({5}), with);
  conv2d_forward(*ctx, spec, x, w, no_bias, without);
  EXPECT_LE(worst_error(doubles(without), {doubles(with), {}}), 1e-6);
  Tensor grad_w = ctx->zeros(w.shape()), grad_w_alone = ctx->zeros(w.shape()), grad_b = ctx->zeros({5});
  conv2d_backward_weights(*ctx, spec, x, with, grad_w, grad_b);
  conv2d_backward_weights(*ctx, spec, x, with, grad_w_alone, no_bias);
  EXPECT_LE(worst_error(doubles(grad_w_alone), {doubles(grad_w), {}}), 1e-6);
}

}  // namespace
}  // namespace sutura::testing
