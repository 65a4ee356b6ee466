// Every primitive against its documented meaning (kernels/cuda/simt.h), under the executor and, where there is one, on a GPU.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <set>
#include <vector>

#include "core/dtype.h"
#include "primitives.h"
#include "runtimes.h"

namespace sutura::testing {
namespace {

using Words = std::vector<std::uint32_t>;  // (thread, word)

float as_float(std::uint32_t v) { return std::bit_cast<float>(v); }
std::uint32_t as_bits(float v) { return std::bit_cast<std::uint32_t>(v); }

class Primitives : public ::testing::TestWithParam<Device> {
 protected:
  void SetUp() override {
    if (const std::string why = GetParam().runtime->why_unusable(); !why.empty()) GTEST_SKIP() << why;
  }

  Words apply(Primitive p, const Words& in) const {
    DeviceBuffer<std::uint32_t> from(*GetParam().runtime, in), to(*GetParam().runtime, Words(in.size(), 0x7badbad7u));
    GetParam().apply(p, from.data(), to.data(), to.stream());
    return to.values();
  }
};

constexpr unsigned kAll = kPrimitiveThreads * kWords;

/// Word w of thread t.
std::uint32_t at(const Words& words, unsigned t, unsigned w) { return words[t * kWords + w]; }
std::uint32_t& at(Words& words, unsigned t, unsigned w) { return words[t * kWords + w]; }

Words random_words(unsigned seed) {
  std::mt19937 draw(seed);
  Words words(kAll);
  for (std::uint32_t& w : words) w = static_cast<std::uint32_t>(draw());
  return words;
}

TEST_P(Primitives, Shuffles) {
  Words in = random_words(1);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) at(in, t, 1) = (t * 7 + 3) % 32;
  const Words any = apply(Primitive::kShuffle, in), by_xor = apply(Primitive::kShuffleXor, in),
              down = apply(Primitive::kShuffleDown, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    const unsigned warp = t / 32 * 32, lane = t % 32;
    EXPECT_EQ(at(any, t, 0), at(in, warp + (t * 7 + 3) % 32, 0)) << t;
    for (unsigned i = 0; i < 5; ++i) {
      EXPECT_EQ(at(by_xor, t, i), at(in, warp + (lane ^ (1u << i)), 0)) << t << " " << i;
      EXPECT_EQ(at(down, t, i), at(in, lane + (1u << i) < 32 ? t + (1u << i) : t, 0)) << t << " " << i;
    }
  }
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) at(in, t, 2) = (31 - t) % 32;
  const Words wide = apply(Primitive::kShuffleWide, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t)
    for (unsigned half = 0; half < 2; ++half) EXPECT_EQ(at(wide, t, half), at(in, t / 32 * 32 + (31 - t) % 32, half)) << t;
}

TEST_P(Primitives, BallotHasABitForEachLaneOfTheWarp) {
  Words in(kAll);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) at(in, t, 0) = t < 32 ? t % 3 == 0 : t == 63;
  const Words out = apply(Primitive::kBallot, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) EXPECT_EQ(at(out, t, 0), t < 32 ? 0x49249249u : 0x80000000u) << t;
}

TEST_P(Primitives, BarriersMakeWritesVisible) {
  const Words in = random_words(2), warp = apply(Primitive::kWarpSync, in), block = apply(Primitive::kBlockSync, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    EXPECT_EQ(at(warp, t, 0), at(in, t ^ 1, 0)) << t;
    EXPECT_EQ(at(block, t, 0), at(in, kPrimitiveThreads - 1 - t, 0)) << t;
  }
}

TEST_P(Primitives, BlockAnyAsksThisBarrierOnly) {
  Words in(kAll);
  at(in, 37, 0) = 1;
  at(in, 5, 2) = 1;
  const Words out = apply(Primitive::kBlockAny, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    EXPECT_EQ(at(out, t, 0), 1u) << t;
    EXPECT_EQ(at(out, t, 1), 0u) << t;
    EXPECT_EQ(at(out, t, 2), 1u) << t;
  }
}

/// One at a time in some order: the values returned, sorted, are the partial sums of that order.
TEST_P(Primitives, AtomicsReturnTheValueBefore) {
  Words in(kAll);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) at(in, t, 0) = 1;
  const Words sums = apply(Primitive::kAtomicAdd, in);
  std::set<std::uint32_t> before;
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    before.insert(at(sums, t, 0));
    EXPECT_EQ(at(sums, t, 1), kPrimitiveThreads);
  }
  EXPECT_EQ(before.size(), kPrimitiveThreads);
  EXPECT_EQ(*before.rbegin(), kPrimitiveThreads - 1);

  for (unsigned t = 0; t < kPrimitiveThreads; ++t) at(in, t, 0) = 1u << t % 32;
  const Words bits = apply(Primitive::kAtomicOr, in);
  std::multiset<int> counts;
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    counts.insert(std::popcount(at(bits, t, 0)));
    EXPECT_EQ(at(bits, t, 1), 0xffffffffu);
  }
  EXPECT_EQ(*counts.begin(), 0);  // exactly one thread came first
  EXPECT_EQ(counts.count(0), 1u);
}

TEST_P(Primitives, AsynchronousCopiesLandOrFillWithZeros) {
  Words in = random_words(3);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) at(in, t, 0) = t % 3 != 0;
  const Words copied = apply(Primitive::kCopy, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    const unsigned other = kPrimitiveThreads - 1 - t;
    for (unsigned i = 0; i < 4; ++i)
      EXPECT_EQ(at(copied, t, i), at(in, other, 0) != 0 ? at(in, other, 4 + i) : 0u) << t << " " << i;
  }
}

/// Lane 8 i + r names row r of matrix i, here in a scrambled order of rows.
TEST_P(Primitives, LoadMatrix) {
  Words in = random_words(4);
  const auto row_of = [](unsigned thread) { return (thread * 11 + 5) % kPrimitiveThreads; };
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) at(in, t, 4) = row_of(t);
  const auto element = [&](unsigned warp, unsigned matrix, unsigned row, unsigned column) {
    const std::uint32_t pair = at(in, row_of(32 * warp + 8 * matrix + row), column / 2);
    return column % 2 == 0 ? pair & 0xffffu : pair >> 16;
  };
  const Words straight = apply(Primitive::kLoadMatrix, in), transposed = apply(Primitive::kLoadMatrixTransposed, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    const unsigned warp = t / 32, lane = t % 32;
    for (unsigned m = 0; m < 4; ++m) {
      EXPECT_EQ(at(straight, t, m), element(warp, m, lane / 4, 2 * (lane % 4)) | element(warp, m, lane / 4, 2 * (lane % 4) + 1)
                                                                                     << 16);
      EXPECT_EQ(at(transposed, t, m), element(warp, m, 2 * (lane % 4), lane / 4) | element(warp, m, 2 * (lane % 4) + 1, lane / 4)
                                                                                       << 16);
    }
  }
}

/// d = a b + d of whole numbers small enough that every order of summation gives the same bits. Matrices (row, column) are
/// written into fragments element by element as simt.h describes them.
struct Product {
  int depth;
  float a[16][16], b[16][8], d[16][8];

  Product(int k, unsigned seed) : depth(k), a{}, b{}, d{} {
    std::mt19937 draw(seed);
    const auto number = [&] { return static_cast<float>(static_cast<int>(draw() % 17) - 8); };
    for (int i = 0; i < 16; ++i)
      for (int j = 0; j < k; ++j) a[i][j] = number();
    for (int i = 0; i < k; ++i)
      for (int j = 0; j < 8; ++j) b[i][j] = number();
    for (auto& row : d)
      for (float& v : row) v = number();
  }
  float expected(int row, int column) const {
    float sum = d[row][column];
    for (int k = 0; k < depth; ++k) sum += a[row][k] * b[k][column];
    return sum;
  }
};

std::uint32_t pair(float lower, float upper) {
  return std::uint32_t{to_bf16(lower).bits} | std::uint32_t{to_bf16(upper).bits} << 16;
}

/// Puts d's fragment of lane (g, t) into `words`, or checks it there.
template <class Visit>
void visit_d(unsigned lane, Visit visit) {
  const unsigned g = lane / 4, t = lane % 4;
  visit(0, g, 2 * t);
  visit(1, g, 2 * t + 1);
  visit(2, g + 8, 2 * t);
  visit(3, g + 8, 2 * t + 1);
}

TEST_P(Primitives, MmaBf16) {
  const Product products[2] = {{16, 5}, {16, 6}};
  Words in(kAll);
  for (unsigned thread = 0; thread < kPrimitiveThreads; ++thread) {
    const Product& p = products[thread / 32];
    const unsigned g = thread % 32 / 4, t = thread % 4;
    at(in, thread, 0) = pair(p.a[g][2 * t], p.a[g][2 * t + 1]);
    at(in, thread, 1) = pair(p.a[g + 8][2 * t], p.a[g + 8][2 * t + 1]);
    at(in, thread, 2) = pair(p.a[g][2 * t + 8], p.a[g][2 * t + 9]);
    at(in, thread, 3) = pair(p.a[g + 8][2 * t + 8], p.a[g + 8][2 * t + 9]);
    at(in, thread, 4) = pair(p.b[2 * t][g], p.b[2 * t + 1][g]);
    at(in, thread, 5) = pair(p.b[2 * t + 8][g], p.b[2 * t + 9][g]);
    visit_d(thread % 32, [&](unsigned r, unsigned row, unsigned column) { at(in, thread, 8 + r) = as_bits(p.d[row][column]); });
  }
  const Words out = apply(Primitive::kMmaBf16, in);
  for (unsigned thread = 0; thread < kPrimitiveThreads; ++thread)
    visit_d(thread % 32, [&](unsigned r, int row, int column) {
      EXPECT_EQ(as_float(at(out, thread, r)), products[thread / 32].expected(row, column)) << thread << " " << r;
    });
}

TEST_P(Primitives, MmaTf32) {
  const Product products[2] = {{8, 7}, {8, 8}};
  Words in(kAll);
  for (unsigned thread = 0; thread < kPrimitiveThreads; ++thread) {
    const Product& p = products[thread / 32];
    const unsigned g = thread % 32 / 4, t = thread % 4;
    at(in, thread, 0) = as_bits(p.a[g][t]);
    at(in, thread, 1) = as_bits(p.a[g + 8][t]);
    at(in, thread, 2) = as_bits(p.a[g][t + 4]);
    at(in, thread, 3) = as_bits(p.a[g + 8][t + 4]);
    at(in, thread, 4) = as_bits(p.b[t][g]);
    at(in, thread, 5) = as_bits(p.b[t + 4][g]);
    visit_d(thread % 32, [&](unsigned r, unsigned row, unsigned column) { at(in, thread, 8 + r) = as_bits(p.d[row][column]); });
  }
  const Words out = apply(Primitive::kMmaTf32, in);
  for (unsigned thread = 0; thread < kPrimitiveThreads; ++thread)
    visit_d(thread % 32, [&](unsigned r, int row, int column) {
      EXPECT_EQ(as_float(at(out, thread, r)), products[thread / 32].expected(row, column)) << thread << " " << r;
    });
}

/// The nearest multiple of 2^(exponent - 10), a tie away from zero: by arithmetic, not by bits.
float nearest_tf32(float v) {
  int exponent = 0;
  const double fraction = std::frexp(double{v}, &exponent);  // [0.5, 1)
  return static_cast<float>(
      std::ldexp(std::copysign(std::floor(std::fabs(std::ldexp(fraction, 11)) + 0.5), fraction), exponent - 11));
}

TEST_P(Primitives, ToTf32RoundsToNearestTiesAway) {
  Words in = random_words(9);
  const float chosen[] = {
      0.0f, -0.0f, 1.0f, 1.0f + 0x1p-11f, -1.0f - 0x1p-11f, 1.0f + 0x1p-11f - 0x1p-23f, 1.0f + 0x3p-11f, 2.0f - 0x1p-23f};
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    if (t < std::size(chosen)) at(in, t, 0) = as_bits(chosen[t]);
    at(in, t, 0) =
        (at(in, t, 0) & 0xbfffffffu) | (t < std::size(chosen) ? at(in, t, 0) & 0x40000000u : 0u);  // finite after rounding
    if (at(in, t, 0) << 1 < 0x01000000u && at(in, t, 0) << 1 != 0) at(in, t, 0) |= 0x3f000000u;    // no subnormals
  }
  const Words out = apply(Primitive::kToTf32, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t)
    EXPECT_EQ(as_float(at(out, t, 0) & 0xffffe000u), nearest_tf32(as_float(at(in, t, 0))))
        << std::hexfloat << as_float(at(in, t, 0));
}

TEST_P(Primitives, ExactArithmeticRoundsOnce) {
  std::mt19937 draw(10);
  std::uniform_real_distribution<double> real(0.5, 2.0);
  Words doubles(kAll), floats(kAll);
  std::vector<double> a(kPrimitiveThreads), b(kPrimitiveThreads);
  std::vector<float> x(kPrimitiveThreads), y(kPrimitiveThreads), z(kPrimitiveThreads);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    a[t] = real(draw), b[t] = real(draw);
    std::memcpy(&at(doubles, t, 0), &a[t], 8);
    std::memcpy(&at(doubles, t, 2), &b[t], 8);
    x[t] = static_cast<float>(real(draw)), y[t] = static_cast<float>(real(draw)),
    z[t] = -x[t] * y[t];  // cancels: contraction shows
    at(floats, t, 0) = as_bits(x[t]), at(floats, t, 1) = as_bits(y[t]), at(floats, t, 2) = as_bits(z[t]);
  }
  const Words d = apply(Primitive::kExactDouble, doubles), f = apply(Primitive::kExactFloat, floats),
              fused = apply(Primitive::kFused, floats);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    const volatile double product = a[t] * b[t];
    const double expected[] = {product, a[t] + b[t], a[t] / b[t], std::sqrt(a[t]), product + a[t]};
    for (unsigned i = 0; i < 5; ++i) {
      double got = 0;
      std::memcpy(&got, &d[t * kWords + 2 * i], 8);
      EXPECT_EQ(got, expected[i]) << t << " " << i;
    }
    const volatile float small = x[t] * y[t];
    EXPECT_EQ(as_float(at(f, t, 0)), small);
    EXPECT_EQ(as_float(at(f, t, 1)), x[t] + y[t]);
    EXPECT_EQ(as_float(at(f, t, 2)), small + x[t]);
    // The product of two floats is exact in double; what is left of it after z fits a float.
    EXPECT_EQ(as_float(at(fused, t, 0)), static_cast<float>(double{x[t]} * double{y[t]} + double{z[t]}));
  }
}

TEST_P(Primitives, Bits) {
  Words in = random_words(11);
  at(in, 0, 0) = 0, at(in, 1, 0) = 0xffffffffu, at(in, 2, 0) = 0x80000001u;
  const Words ones = apply(Primitive::kCountOnes, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    unsigned count = 0;
    for (unsigned i = 0; i < 32; ++i) count += at(in, t, 0) >> i & 1u;
    EXPECT_EQ(at(ones, t, 0), count);
    at(in, t, 1) = t % 32;
  }
  const Words rotated = apply(Primitive::kRotateLeft, in);
  for (unsigned t = 0; t < kPrimitiveThreads; ++t) {
    const std::uint64_t twice = std::uint64_t{at(in, t, 0)} << 32 | at(in, t, 0);
    EXPECT_EQ(at(rotated, t, 0), static_cast<std::uint32_t>(twice << t % 32 >> 32));
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, Primitives, ::testing::ValuesIn(devices()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sutura::testing
