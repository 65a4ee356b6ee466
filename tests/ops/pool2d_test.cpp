#include "kernels/ops/pool2d/pool2d.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "operation.h"

namespace sutura::testing {
namespace {

/// The values of window (n, p, q) at channel c, row by row; the padding as nothing.
std::vector<double> window_values(const Pool2dSpec& s, const Shape& x, const std::vector<double>& v, std::int64_t n,
                                  std::int64_t p, std::int64_t q, std::int64_t c) {
  std::vector<double> values;
  for (std::int64_t r = 0; r < s.kernel_h; ++r) {
    for (std::int64_t t = 0; t < s.kernel_w; ++t) {
      const std::int64_t i = p * s.stride_h + r - s.pad_h, j = q * s.stride_w + t - s.pad_w;
      if (i >= 0 && i < x[1] && j >= 0 && j < x[2])
        values.push_back(v[static_cast<std::size_t>(((n * x[1] + i) * x[2] + j) * x[3] + c)]);
    }
  }
  return values;
}

template <class Reduce>
Values pooled(const Pool2dSpec& s, const Shape& x, const Shape& y, const std::vector<double>& v, Reduce reduce) {
  Values out;
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t p = 0; p < y[1]; ++p) {
      for (std::int64_t q = 0; q < y[2]; ++q) {
        for (std::int64_t c = 0; c < y[3]; ++c) out.value.push_back(reduce(window_values(s, x, v, n, p, q, c)));
      }
    }
  }
  return out;
}

Operation pool_operation(const std::string& kind, const Shape& x, const Pool2dSpec& s) {
  Operation o;
  o.name = kind;
  for (const std::int64_t d : {x[0], x[1], x[2], x[3], s.kernel_h, s.kernel_w, s.stride_h, s.stride_w, s.pad_h, s.pad_w}) {
    o.name.append("_").append(std::to_string(d));
  }
  o.output = s.output_shape(x);
  return o;
}

Operation max_operation(const Shape& x, const Pool2dSpec& s) {
  Operation o = pool_operation("max", x, s);
  o.inputs = {{"x", x, Role::kActivation, Draw::kDistinct}};
  o.saved = {{o.output, DType::kInt32}};
  o.oracle = [s, x, y = o.output](const Arrays& a) {
    return pooled(s, x, y, a[0], [](const std::vector<double>& w) { return *std::ranges::max_element(w); });
  };
  o.forward = [s](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>& saved) {
    max_pool_forward(ctx, s, t[0], y, saved[0]);
  };
  o.backward = [s](Context& ctx, const std::vector<Tensor>&, const Tensor&, const std::vector<Tensor>& saved, const Tensor& g,
                   std::vector<Tensor>& d) { max_pool_backward(ctx, s, saved[0], g, d[0]); };
  o.tolerance = o.half_tolerance = 0.0;  // values are picked, not computed
  return o;
}

Operation avg_operation(const Shape& x, const Pool2dSpec& s) {
  Operation o = pool_operation("avg", x, s);
  o.inputs = {{"x", x}};
  o.oracle = [s, x, y = o.output](const Arrays& a) {
    return pooled(s, x, y, a[0], [&](const std::vector<double>& w) {
      double sum = 0.0;
      for (const double v : w) sum += v;
      return sum / static_cast<double>(s.kernel_h * s.kernel_w);
    });
  };
  o.forward = [s](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) {
    avg_pool_forward(ctx, s, t[0], y);
  };
  o.backward = [s](Context& ctx, const std::vector<Tensor>&, const Tensor&, const std::vector<Tensor>&, const Tensor& g,
                   std::vector<Tensor>& d) { avg_pool_backward(ctx, s, g, d[0]); };
  return o;
}

Operation global_operation(const Shape& x) {
  Operation o = pool_operation("global", x, Pool2dSpec{});
  o.inputs = {{"x", x}};
  o.output = {x[0], x[3]};
  o.oracle = [x](const Arrays& a) {
    return pooled({x[1], x[2], 1, 1, 0, 0}, x, {x[0], 1, 1, x[3]}, a[0], [&](const std::vector<double>& w) {
      double sum = 0.0;
      for (const double v : w) sum += v;
      return sum / static_cast<double>(w.size());
    });
  };
  o.forward = [](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) {
    global_avg_pool_forward(ctx, t[0], y);
  };
  o.backward = [](Context& ctx, const std::vector<Tensor>&, const Tensor&, const std::vector<Tensor>&, const Tensor& g,
                  std::vector<Tensor>& d) { global_avg_pool_backward(ctx, g, d[0]); };
  return o;
}

std::vector<Operation> operations() {
  std::vector<Operation> list;
  const std::vector<std::pair<Shape, Pool2dSpec>> cases{
      {{0, 4, 4, 3}, {2, 2, 2, 2, 0, 0}},  {{1, 1, 1, 1}, {1, 1, 1, 1, 0, 0}},
      {{3, 6, 6, 16}, {2, 2, 2, 2, 0, 0}}, {{3, 7, 7, 5}, {3, 3, 2, 2, 1, 1}},
      {{2, 8, 6, 33}, {3, 2, 1, 2, 1, 0}}, {{2, 1, 20, 3}, {1, 4, 1, 3, 0, 2}},
      {{17, 5, 5, 1}, {5, 5, 1, 1, 2, 2}}, {{2, 7, 7, 3}, {2, 2, 3, 3, 0, 0}},
      {{1, 4, 4, 264}, {3, 3, 2, 2, 1, 1}}};  // more channels than one pass of a device's threads
  for (const auto& [x, s] : cases) {
    list.push_back(max_operation(x, s));
    list.push_back(avg_operation(x, s));
  }
  for (const Shape& x : {Shape{0, 3, 3, 2}, Shape{1, 1, 1, 1}, Shape{3, 7, 5, 16}, Shape{17, 2, 2, 33}, Shape{2, 14, 14, 3},
                         Shape{1, 2, 2, 264}}) {
    list.push_back(global_operation(x));
  }
  return list;
}

class Pool2d : public ::testing::TestWithParam<std::tuple<Operation, Variant>> {};
TEST_P(Pool2d, MatchesOracle) { check_operation(std::get<0>(GetParam()), std::get<1>(GetParam())); }
INSTANTIATE_TEST_SUITE_P(Shapes, Pool2d,
                         ::testing::Combine(::testing::ValuesIn(operations()), ::testing::ValuesIn(all_variants())),
                         [](const auto& i) { return std::get<0>(i.param).name + "_" + text(std::get<1>(i.param)); });

class Pool2dBackend : public ::testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Backends, Pool2dBackend, ::testing::ValuesIn(f32_variants()),
                         [](const auto& i) { return text(i.param); });

// One row of 3 x 3 windows per rule; 20 channels so that vector bodies and tails both see it.
TEST_P(Pool2dBackend, IndexTiesNanAndPadding) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const float kInf = std::numeric_limits<float>::infinity();
  struct Rule {
    std::vector<float> image;  // [3, 3]
    float value;
    std::int32_t index;
  };
  const std::vector<Rule> rules{{{1, 5, 2, 5, 0, 5, 1, 1, 1}, 5.0f, 1},  // the lowest place of a tie
                                {{1, 2, 3, 4, 9, 6, 7, 8, 5}, 9.0f, 4},
                                {{1, NAN, 9, NAN, 2, 3, 4, 5, 6}, NAN, 1},  // the first NaN
                                {{-kInf, -kInf, -kInf, -kInf, -kInf, -kInf, -kInf, -kInf, -kInf}, -kInf, 0},
                                {{-5, -4, -3, -9, -8, -7, -6, -2, -1}, -1.0f, 8},  // padding is not zero
                                {{NAN, NAN, 1, 1, 1, 1, 1, 1, kInf}, NAN, 0}};
  constexpr std::size_t kChannels = 20;
  for (const Rule& rule : rules) {
    std::vector<float> xs;
    for (const float v : rule.image) xs.insert(xs.end(), kChannels, v);
    const Tensor x = ctx->here(Tensor::from({1, 3, 3, kChannels}, xs));
    const Pool2dSpec spec{3, 3, 3, 3, 0, 0};
    Tensor y_here = ctx->tensor({1, 1, 1, kChannels}), index_here = ctx->tensor({1, 1, 1, kChannels}, DType::kInt32);
    max_pool_forward(*ctx, spec, x, y_here, index_here);
    const Tensor y = ctx->host(std::move(y_here)), index = ctx->host(std::move(index_here));
    for (std::size_t c = 0; c < kChannels; ++c) {
      EXPECT_EQ(index.as<std::int32_t>()[c], rule.index);
      EXPECT_TRUE(y.f32()[c] == rule.value || (std::isnan(y.f32()[c]) && std::isnan(rule.value)));
    }
  }
  // All negative with padding: a corner window holds one pixel and three of padding.
  const Tensor x = ctx->here(Tensor::from({1, 2, 2, 1}, std::vector<float>{-4, -3, -2, -1}));
  const Pool2dSpec padded{2, 2, 2, 2, 1, 1};
  Tensor y_here = ctx->tensor({1, 2, 2, 1}), index_here = ctx->tensor({1, 2, 2, 1}, DType::kInt32);
  max_pool_forward(*ctx, padded, x, y_here, index_here);
  const Tensor y = ctx->host(std::move(y_here)), index = ctx->host(std::move(index_here));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(y.f32()[i], -4.0f + static_cast<float>(i));
    EXPECT_EQ(index.as<std::int32_t>()[i], static_cast<std::int32_t>(i));
  }
}

}  // namespace
}  // namespace sutura::testing
