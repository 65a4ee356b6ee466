#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/random/philox.h"
#include "kernels/ops/add/add.h"
#include "kernels/ops/cast/cast.h"
#include "kernels/ops/concat/concat.h"
#include "kernels/ops/dropout/dropout.h"
#include "kernels/ops/gelu/gelu.h"
#include "kernels/ops/relu/relu.h"
#include "kernels/ops/sigmoid/sigmoid.h"
#include "operation.h"

namespace sutura::testing {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

template <class Value>
Operation elementwise(const std::string& name, const Shape& shape, Draw draw, Value value) {
  Operation o;
  o.name = name;
  for (const std::int64_t d : shape.dims()) o.name.append("_").append(std::to_string(d));
  o.inputs = {{"x", shape, Role::kActivation, draw}};
  o.output = shape;
  o.oracle = [value](const Arrays& a) {
    Values y;
    for (const double x : a[0]) {
      y.value.push_back(value(x));
      y.magnitude.push_back(std::abs(x) + 1e-3);
    }
    return y;
  };
  return o;
}

template <auto kForward, auto kBackward>
Operation with_output(Operation o) {  // backward takes y
  o.forward = [](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) { kForward(ctx, t[0], y); };
  o.backward = [](Context& ctx, const std::vector<Tensor>&, const Tensor& y, const std::vector<Tensor>&, const Tensor& g,
                  std::vector<Tensor>& d) { kBackward(ctx, y, g, d[0]); };
  return o;
}
template <auto kForward, auto kBackward>
Operation with_input(Operation o) {  // backward takes x
  o.forward = [](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) { kForward(ctx, t[0], y); };
  o.backward = [](Context& ctx, const std::vector<Tensor>& t, const Tensor&, const std::vector<Tensor>&, const Tensor& g,
                  std::vector<Tensor>& d) { kBackward(ctx, t[0], g, d[0]); };
  return o;
}

Operation add_operation(const Shape& shape) {
  Operation o = elementwise("add", shape, Draw::kNormal, [](double x) { return x; });
  o.inputs.push_back({"b", shape});
  o.oracle = [](const Arrays& a) {
    Values y;
    for (std::size_t i = 0; i < a[0].size(); ++i) y.value.push_back(a[0][i] + a[1][i]);
    return y;
  };
  o.forward = [](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) { add(ctx, t[0], t[1], y); };
  return o;
}

Operation concat_operation(const std::vector<std::int64_t>& widths) {
  Operation o;
  o.name = "concat";
  std::int64_t total = 0;
  for (const std::int64_t w : widths) {
    o.name.append("_").append(std::to_string(w));
    o.inputs.push_back({"part" + std::to_string(total), {3, 2, w}});
    total += w;
  }
  o.output = {3, 2, total};
  o.oracle = [widths](const Arrays& a) {
    Values y;
    for (std::size_t row = 0; row < 6; ++row) {
      for (std::size_t k = 0; k < widths.size(); ++k) {
        const auto w = static_cast<std::size_t>(widths[k]);
        for (std::size_t i = 0; i < w; ++i) y.value.push_back(a[k][row * w + i]);
      }
    }
    return y;
  };
  o.forward = [](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) {
    std::vector<const Tensor*> parts;
    for (const Tensor& part : t) parts.push_back(&part);
    concat_forward(ctx, parts, y);
  };
  o.backward = [](Context& ctx, const std::vector<Tensor>&, const Tensor&, const std::vector<Tensor>&, const Tensor& g,
                  std::vector<Tensor>& d) {
    std::vector<Tensor*> parts;
    for (Tensor& part : d) parts.push_back(&part);
    concat_backward(ctx, g, parts);
  };
  o.tolerance = o.half_tolerance = 0.0;  // bits are copied
  return o;
}

constexpr DropoutKey kKey{11, "drop", 3};

Operation dropout_operation(const Shape& shape, float rate) {
  Operation o = elementwise("dropout", shape, Draw::kNormal, [](double x) { return x; });
  o.name.append("_").append(std::to_string(static_cast<int>(100 * rate)));
  o.records = Operation::Records::kCoupled;  // the mask goes by the element's index in the batch
  o.saved = {{shape, DType::kUint8}};
  o.oracle = [rate](const Arrays& a) {
    PhiloxStream stream(kKey.seed, kKey.stream, kKey.index);
    Values y;
    for (const double x : a[0]) y.value.push_back(stream.next_float() < rate ? 0.0 : x / (1.0 - static_cast<double>(rate)));
    return y;
  };
  o.forward = [rate](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>& s) {
    dropout_forward(ctx, rate, kKey, t[0], y, s[0]);
  };
  o.backward = [rate](Context& ctx, const std::vector<Tensor>&, const Tensor&, const std::vector<Tensor>& s, const Tensor& g,
                      std::vector<Tensor>& d) { dropout_backward(ctx, rate, s[0], g, d[0]); };
  return o;
}

std::vector<Operation> operations() {
  std::vector<Operation> list;
  const auto relu = [](double x) { return x > 0.0 ? x : 0.0; };
  const auto gelu = [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); };
  const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  for (const Shape& s : {Shape{0, 3}, Shape{1, 1}, Shape{3, 5, 5, 3}, Shape{17, 33}, Shape{2, 1001}}) {
    list.push_back(with_output<relu_forward, relu_backward>(elementwise("relu", s, Draw::kAwayFrom0, relu)));
    list.push_back(with_input<gelu_forward, gelu_backward>(elementwise("gelu", s, Draw::kNormal, gelu)));
    list.push_back(with_output<sigmoid_forward, sigmoid_backward>(elementwise("sigmoid", s, Draw::kNormal, sigmoid)));
    // sigmoid near 0 is 1/2, not x: measure against 1. Its slope comes from y, whose half-precision rounding of 2^-9 near 1 is
    // absolute, so against the largest gradient it stays below half_gradient_tolerance.
    list.back().oracle = [sigmoid](const Arrays& a) {
      Values y;
      for (const double x : a[0]) y.value.push_back(sigmoid(x));
      return y;
    };
    list.push_back(add_operation(s));
    list.push_back(dropout_operation(s, 0.25f));
  }
  list.push_back(dropout_operation({4, 7}, 0.0f));
  list.push_back(concat_operation({5}));
  list.push_back(concat_operation({1, 16, 3}));
  list.push_back(concat_operation({33, 2}));
  list.push_back(concat_operation({8, 16}));  // rows of whole 16-byte units
  list.push_back(concat_operation({4, 6}));   // of 4-byte units in half precision
  return list;
}

class Elementwise : public ::testing::TestWithParam<std::tuple<Operation, Variant>> {};
TEST_P(Elementwise, MatchesOracle) { check_operation(std::get<0>(GetParam()), std::get<1>(GetParam())); }
INSTANTIATE_TEST_SUITE_P(Shapes, Elementwise,
                         ::testing::Combine(::testing::ValuesIn(operations()), ::testing::ValuesIn(all_variants())),
                         [](const auto& i) { return std::get<0>(i.param).name + "_" + text(std::get<1>(i.param)); });

class ElementwiseBackend : public ::testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Backends, ElementwiseBackend, ::testing::ValuesIn(f32_variants()),
                         [](const auto& i) { return text(i.param); });

TEST_P(ElementwiseBackend, SpecialValues) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  // 20 values so that vector bodies and tails both see them.
  std::vector<float> xs;
  for (int i = 0; i < 5; ++i) xs.insert(xs.end(), {NAN, kInf, -kInf, -0.0f});
  const Tensor x = ctx->here(Tensor::from({20}, xs)), g = ctx->here(Tensor::from({20}, std::vector<float>(20, 1.0f)));
  Guarded y(*ctx, {20}), d(*ctx, {20});
  const auto values = [](const Guarded& t) { return to_doubles(t.values()); };
  relu_forward(*ctx, x, y.tensor());
  for (std::size_t i = 0; i < 20; i += 4) {
    EXPECT_TRUE(std::isnan(values(y)[i]));
    EXPECT_EQ(values(y)[i + 1], kInf);
    EXPECT_EQ(values(y)[i + 2], 0.0f);
    EXPECT_EQ(values(y)[i + 3], 0.0f);
  }
  relu_backward(*ctx, y.tensor(), g, d.tensor());
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(values(d)[i], i % 4 == 1 ? 1.0f : 0.0f) << i;
  sigmoid_forward(*ctx, x, y.tensor());
  for (std::size_t i = 0; i < 20; i += 4) {
    EXPECT_TRUE(std::isnan(values(y)[i]));
    EXPECT_EQ(values(y)[i + 1], 1.0f);
    EXPECT_EQ(values(y)[i + 2], 0.0f);
    EXPECT_EQ(values(y)[i + 3], 0.5f);
  }
  gelu_forward(*ctx, x, y.tensor());
  for (std::size_t i = 0; i < 20; i += 4) {
    EXPECT_TRUE(std::isnan(values(y)[i]));
    EXPECT_EQ(values(y)[i + 1], kInf);
    if (GetParam().backend != Backend::kOnednn) {
      EXPECT_EQ(values(y)[i + 2], 0.0f);
    }
  }
  gelu_backward(*ctx, x, g, d.tensor());
  if (GetParam().backend != Backend::kOnednn) {
    for (std::size_t i = 0; i < 20; i += 4) {
      EXPECT_TRUE(std::isnan(values(d)[i]));
      EXPECT_EQ(values(d)[i + 1], 1.0f);
      EXPECT_EQ(values(d)[i + 2], 0.0f);
      EXPECT_EQ(values(d)[i + 3], 0.5f);
    }
  }
}

// A library that takes a ceiling must not clip at the largest finite value.
class ElementwiseInfinity : public ::testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Backends, ElementwiseInfinity, ::testing::ValuesIn(all_variants()),
                         [](const auto& i) { return text(i.param); });

TEST_P(ElementwiseInfinity, PassesARelu) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  // 37 values so that vector bodies and tails both see them, in half precision too. The third is the largest bfloat16.
  const std::vector<double> few{HUGE_VAL, -HUGE_VAL, 0x1.fep127, -0x1.fep127, 1.0};
  std::vector<double> xs, want;
  for (std::size_t i = 0; i < 37; ++i) {
    xs.push_back(few[i % few.size()]);
    want.push_back(std::max(xs.back(), 0.0));
  }
  Guarded y(*ctx, {37}, ctx->compute());
  relu_forward(*ctx, ctx->here(to_tensor(xs, {37}, ctx->compute())), y.tensor());
  EXPECT_EQ(to_doubles(y.values()), want);
  EXPECT_TRUE(y.intact());
}

TEST_P(ElementwiseBackend, OutputsMayOverwriteInputs) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{3, 7};
  const Tensor x = ctx->here(to_tensor(draw_values({"x", shape}, DType::kFloat32, 1), shape, DType::kFloat32));
  const auto in_place = [&](auto op) {
    Tensor apart = ctx->tensor(shape), own = ctx->clone(x);
    op(x, apart);
    const Tensor alias = Tensor::borrow(own);
    op(alias, own);
    EXPECT_EQ(to_doubles(ctx->host(Tensor::borrow(apart))), to_doubles(ctx->host(Tensor::borrow(own))));
  };
  in_place([&](const Tensor& from, Tensor& to) { relu_forward(*ctx, from, to); });
  in_place([&](const Tensor& from, Tensor& to) { sigmoid_forward(*ctx, from, to); });
  in_place([&](const Tensor& from, Tensor& to) { add(*ctx, from, x, to); });
  in_place([&](const Tensor& from, Tensor& to) { add(*ctx, x, from, to); });
  in_place([&](const Tensor& from, Tensor& to) { relu_backward(*ctx, x, from, to); });
  in_place([&](const Tensor& from, Tensor& to) { sigmoid_backward(*ctx, x, from, to); });
  in_place([&](const Tensor& from, Tensor& to) { gelu_backward(*ctx, x, from, to); });
}

TEST_P(ElementwiseBackend, DropoutMaskFollowsTheKeyOnly) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{20000};
  const Tensor x = ctx->here(Tensor::from(shape, std::vector<float>(20000, NAN)));
  Tensor y_here = ctx->tensor(shape), mask_here = ctx->tensor(shape, DType::kUint8);
  const auto draw = [&](const DropoutKey& key) {
    dropout_forward(*ctx, 0.3f, key, x, y_here, mask_here);
    return ctx->host(ctx->clone(mask_here));
  };
  const Tensor mask = draw({1, "a", 0}), y = ctx->host(Tensor::borrow(y_here));
  PhiloxStream stream(1, "a", 0);
  std::int64_t kept = 0;
  for (std::size_t i = 0; i < 20000; ++i) {
    const std::uint8_t keep = mask.as<std::uint8_t>()[i];
    EXPECT_EQ(keep, stream.next_float() >= 0.3f ? 1 : 0) << i;
    kept += keep;
    if (keep == 0) {
      EXPECT_EQ(y.f32()[i], 0.0f) << "a dropped NaN stayed";
    }
  }
  EXPECT_NEAR(static_cast<double>(kept), 14000.0, 5.0 * std::sqrt(20000 * 0.3 * 0.7));  // five standard deviations
  EXPECT_TRUE(std::ranges::equal(mask.bytes(), draw({1, "a", 0}).bytes()));
  for (const DropoutKey& key : {DropoutKey{2, "a", 0}, DropoutKey{1, "b", 0}, DropoutKey{1, "a", 1}}) {
    EXPECT_FALSE(std::ranges::equal(mask.bytes(), draw(key).bytes()));
  }
  // A draw that equals the rate stays.
  PhiloxStream again(1, "a", 0);
  float third = 0.0f;
  for (int i = 0; i < 3; ++i) third = again.next_float();
  dropout_forward(*ctx, third, {1, "a", 0}, x, y_here, mask_here);
  EXPECT_EQ(ctx->host(ctx->clone(mask_here)).as<std::uint8_t>()[2], 1);
  // The same words from a tensor that another step overwrites.
  Tensor words = ctx->clone(dropout_words({7, "c", 9}));
  const auto draw_words = [&] {
    dropout_forward(*ctx, 0.3f, words, x, y_here, mask_here);
    return ctx->host(ctx->clone(mask_here));
  };
  EXPECT_TRUE(std::ranges::equal(draw_words().bytes(), draw({7, "c", 9}).bytes()));
  ctx->copy(dropout_words({1, "a", 0}), words);
  EXPECT_TRUE(std::ranges::equal(draw_words().bytes(), mask.bytes()));
}

// Tensors inside a larger one begin anywhere: kernels that move 16 bytes at a time must see it and give the same bits.
TEST_P(ElementwiseBackend, UnalignedTensorsGiveTheSameBits) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{3, 13};
  const std::int64_t n = shape.elements();
  const Tensor x = to_tensor(draw_values({"x", shape}, DType::kFloat32, 3), shape, DType::kFloat32);
  const auto check = [&](auto op) {
    const Tensor here = ctx->clone(x);
    Tensor y = ctx->tensor(shape), memory = ctx->zeros({2 * n + 8}), outer = ctx->zeros({n + 8});
    Tensor from = Tensor::part(memory, 3, shape), to = Tensor::part(outer, 5, shape);
    ctx->copy(here, from);
    op(here, y);
    op(from, to);
    EXPECT_EQ(to_doubles(ctx->host(Tensor::borrow(y))), to_doubles(ctx->host(ctx->clone(to))));
    const std::vector<double> around = to_doubles(ctx->host(Tensor::borrow(outer)));
    EXPECT_EQ(around[4], 0.0);
    EXPECT_EQ(around[static_cast<std::size_t>(n) + 5], 0.0);
  };
  check([&](const Tensor& from, Tensor& to) { relu_forward(*ctx, from, to); });
  check([&](const Tensor& from, Tensor& to) { sigmoid_forward(*ctx, from, to); });
  check([&](const Tensor& from, Tensor& to) { add(*ctx, from, from, to); });
  check([&](const Tensor& from, Tensor& to) {
    Tensor masks = ctx->zeros({n + 3}, DType::kUint8), mask = Tensor::part(masks, 3, shape);
    dropout_forward(*ctx, 0.5f, kKey, from, to, mask);
    EXPECT_EQ(ctx->host(Tensor::borrow(masks)).as<std::uint8_t>()[2], 0);
  });
  check([&](const Tensor& from, Tensor& to) {
    const Tensor left = Tensor::part(from, 0, {3, 4}), right = Tensor::part(from, 12, {3, 9});
    concat_forward(*ctx, {&left, &right}, to);
  });
}

TEST_P(ElementwiseBackend, CastRoundsToNearestEven) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  // Between 1 and 1 + 2^-7: below, at and above the middle; the next middle rounds up to even; the largest float overflows.
  std::vector<float> xs{1.0f,
                        1.0f + 0x1p-9f,
                        1.0f + 0x1p-8f,
                        1.0f + 0x1.8p-8f,
                        1.0f + 0x1.8p-7f,
                        -0.0f,
                        kInf,
                        NAN,
                        std::numeric_limits<float>::max(),
                        3.140625f};
  const std::vector<float> want{1.0f, 1.0f, 1.0f, 1.0f + 0x1p-7f, 1.0f + 0x1p-6f, -0.0f, kInf, NAN, kInf, 3.140625f};
  const std::size_t distinct = xs.size();
  while (xs.size() < 53) xs.push_back(xs[xs.size() - distinct]);
  const Tensor half = cast(*ctx, ctx->here(Tensor::from({53}, xs)), DType::kBfloat16);
  ASSERT_EQ(half.dtype(), DType::kBfloat16);
  const Tensor back_here = cast(*ctx, half, DType::kFloat32), back = ctx->host(ctx->clone(back_here));
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const float w = want[i % distinct];
    if (std::isnan(w)) {
      EXPECT_TRUE(std::isnan(back.f32()[i]));
    } else {
      EXPECT_EQ(back.f32()[i], w) << i;
      EXPECT_EQ(std::signbit(back.f32()[i]), std::signbit(w));
    }
  }
  EXPECT_EQ(cast(*ctx, ctx->tensor({0, 3}), DType::kBfloat16).shape(), (Shape{0, 3}));
  const Tensor copy = cast(*ctx, back_here, DType::kFloat32);
  EXPECT_NE(copy.data(), back_here.data());
}

}  // namespace
}  // namespace sutura::testing
