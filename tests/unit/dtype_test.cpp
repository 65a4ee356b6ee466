#include "core/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>

#include "core/random/philox.h"

namespace sutura {
namespace {

constexpr std::uint32_t kPatterns = 1u << 16;

float float_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }
bool is_nan(std::uint32_t bf16_bits) { return (bf16_bits & 0x7fff) > 0x7f80; }

// The numbers go over the wire and into journals: this table is the promise.
TEST(DType, NumbersSizesAndNames) {
  const struct {
    DType type;
    int number;
    std::size_t size;
    std::string_view name;
  } table[] = {{DType::kFloat32, 1, 4, "f32"}, {DType::kBfloat16, 2, 2, "bf16"}, {DType::kInt8, 3, 1, "int8"},
               {DType::kInt16, 4, 2, "int16"}, {DType::kInt32, 5, 4, "int32"},   {DType::kUint8, 6, 1, "uint8"},
               {DType::kFloat64, 7, 8, "f64"}};
  std::set<int> known;
  for (const auto& row : table) {
    EXPECT_EQ(static_cast<int>(row.type), row.number);
    EXPECT_EQ(size_bytes(row.type), row.size);
    EXPECT_EQ(name(row.type), row.name);
    known.insert(row.number);
  }
  for (int i = 0; i < 256; ++i) {
    if (known.contains(i)) continue;
    EXPECT_EQ(size_bytes(static_cast<DType>(i)), 0u) << i;
    EXPECT_EQ(name(static_cast<DType>(i)), "unknown") << i;
  }
}

TEST(Bfloat16, EveryPatternSurvivesTheWayToFloatAndBack) {
  for (std::uint32_t bits = 0; bits < kPatterns; ++bits) {
    const float wide = to_float({static_cast<std::uint16_t>(bits)});
    ASSERT_EQ(std::bit_cast<std::uint32_t>(wide), bits << 16) << bits;
    // A signalling NaN comes back quiet.
    ASSERT_EQ(to_bf16(wide).bits, is_nan(bits) ? bits | 0x40u : bits) << bits;
  }
}

TEST(Bfloat16, HalfWayGoesToTheEvenNeighbour) {
  for (std::uint32_t bits = 0; bits < kPatterns; ++bits) {
    if ((bits & 0x7fff) >= 0x7f80) continue;  // infinity and NaN have no half way; the greatest finite has: it is infinity's
    ASSERT_EQ(to_bf16(float_of(bits << 16 | 0x7fff)).bits, bits) << bits;
    ASSERT_EQ(to_bf16(float_of(bits << 16 | 0x8000)).bits, bits % 2 == 0 ? bits : bits + 1) << bits;
    ASSERT_EQ(to_bf16(float_of(bits << 16 | 0x8001)).bits, bits + 1) << bits;
  }
}

TEST(Bfloat16, AnyFiniteFloatGoesToTheNearest) {
  // By distance, in double, where both differences are exact.
  PhiloxStream random(1, "bf16");
  int tested = 0;
  while (tested < 50000) {
    const float v = float_of(random.next_u32());
    if (!std::isfinite(v) || std::abs(v) > 3.3e38f) continue;  // the greatest finite bfloat16 is 3.39e38
    ++tested;
    const auto toward_zero = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(v) >> 16);
    const auto away = static_cast<std::uint16_t>(toward_zero + 1);
    const double down = std::abs(static_cast<double>(v) - to_float({toward_zero}));
    const double up = std::abs(static_cast<double>(v) - to_float({away}));
    const std::uint16_t nearest = down == up ? (toward_zero % 2 == 0 ? toward_zero : away) : (down < up ? toward_zero : away);
    ASSERT_EQ(to_bf16(v).bits, nearest) << v;
  }
}

TEST(Bfloat16, ExtremeValues) {
  using Limits = std::numeric_limits<float>;
  EXPECT_EQ(to_bf16(0.0f).bits, 0x0000);
  EXPECT_EQ(to_bf16(-0.0f).bits, 0x8000);
  EXPECT_EQ(to_bf16(1.0f).bits, 0x3f80);
  EXPECT_EQ(to_bf16(-2.5f).bits, 0xc020);
  EXPECT_EQ(to_bf16(Limits::max()).bits, 0x7f80) << "the greatest float rounds to infinity";
  EXPECT_EQ(to_bf16(float_of(0x7f7f7fff)).bits, 0x7f7f);
  EXPECT_EQ(to_bf16(Limits::infinity()).bits, 0x7f80);
  EXPECT_EQ(to_bf16(-Limits::infinity()).bits, 0xff80);
  EXPECT_EQ(to_bf16(Limits::denorm_min()).bits, 0x0000);
  EXPECT_EQ(to_bf16(float_of(0x0000c000)).bits, 0x0001) << "subnormal numbers are kept";
}

TEST(Bfloat16, NanStaysNanWithItsSign) {
  // Payloads in the upper half, only in the lower half that is cut off, and in both; all would carry into infinity or zero.
  for (const std::uint32_t payload : {0x000001u, 0x008000u, 0x00ffffu, 0x010000u, 0x3fffffu, 0x400000u, 0x7f8000u, 0x7fffffu}) {
    for (const std::uint32_t sign : {0u, 0x80000000u}) {
      const std::uint16_t bits = to_bf16(float_of(sign | 0x7f800000u | payload)).bits;
      EXPECT_TRUE(is_nan(bits)) << payload;
      EXPECT_NE(bits & 0x40, 0) << "quiet: " << payload;
      EXPECT_EQ(bits >> 15, sign >> 31);
    }
  }
}

}  // namespace
}  // namespace sutura
