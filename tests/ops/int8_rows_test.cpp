#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/random/philox.h"
#include "kernels/ops/int8_rows/int8_rows.h"
#include "operation.h"

namespace sutura::testing {
namespace {

struct Rows {
  Guarded q, scales, back;
  Tensor host_q, host_scales, host_back;
  Rows(Context& ctx, const Tensor& x) : q(ctx, x.shape(), DType::kInt8), scales(ctx, {x.shape()[0]}), back(ctx, x.shape()) {
    int8_rows_quantise(ctx, ctx.clone(x), q.tensor(), scales.tensor());
    int8_rows_dequantise(ctx, q.tensor(), scales.tensor(), back.tensor());
    EXPECT_TRUE(q.intact() && scales.intact() && back.intact());
    host_q = q.values();
    host_scales = scales.values();
    host_back = back.values();
  }
};

class Int8Rows : public ::testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Backends, Int8Rows, ::testing::ValuesIn(f32_variants()),
                         [](const auto& info) { return sutura::testing::text(info.param); });

TEST_P(Int8Rows, EachRowsErrorIsHalfAStepOfItsOwnScale) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  for (const Shape& shape : {Shape{1, 1}, Shape{7, 5}, Shape{3, 4, 2, 3}, Shape{2, 1000}}) {
    Tensor x(shape);
    PhiloxStream random(3, shape.text());
    const auto width = static_cast<std::size_t>(shape.row_elements());
    for (std::size_t i = 0; i < x.f32().size(); ++i)  // rows of very different sizes
      x.f32()[i] = (2.0f * random.next_float() - 1.0f) * std::pow(10.0f, static_cast<float>(i / width) * 3.0f - 9.0f);
    Rows r(*ctx, x);
    for (std::size_t row = 0; row < static_cast<std::size_t>(shape[0]); ++row) {
      double largest = 0.0;
      for (std::size_t j = 0; j < width; ++j)
        largest = std::max(largest, std::abs(static_cast<double>(x.f32()[row * width + j])));
      EXPECT_FLOAT_EQ(r.host_scales.f32()[row], static_cast<float>(largest / 127.0));
      bool reaches = false;
      for (std::size_t j = 0; j < width; ++j) {
        const std::size_t i = row * width + j;
        const int q = r.host_q.as<std::int8_t>()[i];
        reaches = reaches || q == 127 || q == -127;
        EXPECT_GE(q, -127);
        EXPECT_LE(std::abs(static_cast<double>(x.f32()[i]) - static_cast<double>(r.host_back.f32()[i])), 0.51 * largest / 127.0);
      }
      EXPECT_TRUE(reaches) << "the largest value of a row is at the end of the range";
    }
  }
}

TEST_P(Int8Rows, KnownValues) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const float values[] = {127, -127, 0, 0.5f, 1.5f, 2.5f, -0.5f, 63.4f, 0, 0, 0, 0, 0, 0, 0, 0};
  Rows r(*ctx, Tensor::from({2, 8}, std::span<const float>(values)));
  EXPECT_EQ(r.host_scales.f32()[0], 1.0f);
  EXPECT_EQ(r.host_scales.f32()[1], 0.0f);
  const std::int8_t expected[] = {127, -127, 0, 0, 2, 2, 0, 63, 0, 0, 0, 0, 0, 0, 0, 0};  // ties to even
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(r.host_q.as<std::int8_t>()[i], expected[i]) << i;
}

TEST_P(Int8Rows, ARowWithNanOrInfinityHasNoScaleAndSpoilsNoOther) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    const float values[] = {1, 2, bad, 4, 5, 6};
    Rows r(*ctx, Tensor::from({3, 2}, std::span<const float>(values)));
    EXPECT_TRUE(std::isnan(r.host_scales.f32()[1]));
    EXPECT_EQ(r.host_q.as<std::int8_t>()[2], 0);
    EXPECT_EQ(r.host_scales.f32()[2], 6.0f / 127.0f);
  }
}

TEST_P(Int8Rows, TheSmallestNumbersStayInRange) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const float tiny = std::numeric_limits<float>::denorm_min();
  const float values[] = {tiny, -tiny, 200 * tiny, -190 * tiny, std::numeric_limits<float>::max(), 1};
  Rows r(*ctx, Tensor::from({3, 2}, std::span<const float>(values)));
  EXPECT_EQ(r.host_q.as<std::int8_t>()[0], 0) << "its scale is no float";
  EXPECT_EQ(r.host_q.as<std::int8_t>()[4], 127);
  for (const float s : r.host_scales.f32()) EXPECT_TRUE(std::isfinite(s) && s >= 0.0f);
}

TEST_P(Int8Rows, EveryBackendGivesTheBitsOfTheReference) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  Context reference(Backend::kReference);
  Tensor x({5, 613});
  PhiloxStream random(5, "rows");
  for (std::size_t i = 0; i < x.f32().size(); ++i)  // the last row in subnormal numbers
    x.f32()[i] = (2.0f * random.next_float() - 1.0f) * (i / 613 == 4 ? 1e-38f : std::pow(10.0f, static_cast<float>(i / 613)));
  const Rows got(*ctx, x), want(reference, x);
  EXPECT_TRUE(std::ranges::equal(got.host_q.bytes(), want.host_q.bytes()));
  EXPECT_TRUE(std::ranges::equal(got.host_scales.bytes(), want.host_scales.bytes()));
  EXPECT_TRUE(std::ranges::equal(got.host_back.bytes(), want.host_back.bytes()));
}

TEST(Int8RowsChecks, WrongShapesAndTypesAreRefused) {
  Context ctx(Backend::kReference, 1);
  Tensor x = Tensor::zeros({3, 4}), q({3, 4}, DType::kInt8), scales({3});
  Tensor narrow({3, 3}, DType::kInt8), f32({3, 4}), few({2});
  EXPECT_THROW(int8_rows_quantise(ctx, x, narrow, scales), Error);
  EXPECT_THROW(int8_rows_quantise(ctx, x, f32, scales), Error);
  EXPECT_THROW(int8_rows_quantise(ctx, x, q, few), Error);
  EXPECT_THROW(int8_rows_dequantise(ctx, narrow, scales, x), Error);
  Tensor nothing({0, 4}), no_q({0, 4}, DType::kInt8), no_scales({0});
  EXPECT_NO_THROW(int8_rows_quantise(ctx, nothing, no_q, no_scales));
}

}  // namespace
}  // namespace sutura::testing
