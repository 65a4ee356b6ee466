#include "core/random/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "tests/unit/pinned_values.h"

namespace sutura {
namespace {

using testing::kDraws;
using testing::kPermutation;
using testing::kStreamWords;
using testing::kWords64;
using Four = std::array<std::uint32_t, 4>;

template <class Action>
Errc code_of(Action action) {
  try {
    action();
  } catch (const Error& e) {
    return e.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return Errc::kInternal;
}

// The lines "philox4x32 10" of Random123's tests/kat_vectors.
TEST(Philox, KnownAnswersOfRandom123) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr std::uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}), (Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, StreamsEqualTheIndependentProgram) {
  for (const auto& expected : kStreamWords) {
    PhiloxStream stream(expected.seed, expected.stream, expected.index);
    for (const std::uint32_t word : expected.words)
      ASSERT_EQ(stream.next_u32(), word) << expected.seed << " " << expected.stream << " " << expected.index;
  }
  PhiloxStream wide(7, "u64");
  for (const std::uint64_t word : kWords64) EXPECT_EQ(wide.next_u64(), word);
}

TEST(Philox, AStreamWithoutANameIsOneToo) {
  // A string_view without memory behind it.
  EXPECT_EQ(PhiloxStream(0, std::string_view()).next_u32(), kStreamWords[0].words[0]);
}

TEST(Philox, ACopyGoesOnAloneFromTheSamePlace) {
  PhiloxStream a(3, "noise");
  a.next_u32();  // inside a block
  PhiloxStream b = a;
  std::vector<std::uint32_t> first, second;
  for (int i = 0; i < 11; ++i) first.push_back(a.next_u32());
  for (int i = 0; i < 11; ++i) second.push_back(b.next_u32());
  EXPECT_EQ(first, second);
}

TEST(Philox, EveryPartOfTheNameCounts) {
  const auto head = [](PhiloxStream s) { return Four{s.next_u32(), s.next_u32(), s.next_u32(), s.next_u32()}; };
  // The last three begin with the same bytes; only where the name ends and the index begins differs.
  const std::vector<Four> heads = {head({1, "a"}),     head({2, "a"}),          head({std::uint64_t{1} << 32 | 1, "a"}),
                                   head({1, "b"}),     head({1, "a", 1}),       head({1, "a", std::uint64_t{1} << 32}),
                                   head({1, "a\x01"}), head({1, "", 0x0161ull})};
  for (std::size_t i = 0; i < heads.size(); ++i)
    for (std::size_t j = i + 1; j < heads.size(); ++j) EXPECT_NE(heads[i], heads[j]) << i << " " << j;
}

TEST(Philox, FloatsAreTheTopBits) {
  PhiloxStream words(9, "f"), floats(9, "f"), words64(9, "d"), doubles(9, "d");
  for (int i = 0; i < 1000; ++i) {
    const float f = floats.next_float();
    ASSERT_EQ(std::ldexp(f, 24), static_cast<float>(words.next_u32() >> 8));
    ASSERT_TRUE(f >= 0.0f && f < 1.0f);
    const double d = doubles.next_double();
    ASSERT_EQ(std::ldexp(d, 53), static_cast<double>(words64.next_u64() >> 11));
    ASSERT_TRUE(d >= 0.0 && d < 1.0);
  }
}

TEST(Philox, BelowEqualsTheIndependentProgram) {
  for (const auto& expected : kDraws) {
    PhiloxStream stream(7, "below");
    for (const std::uint64_t value : expected.values) ASSERT_EQ(stream.next_below(expected.n), value) << expected.n;
  }
}

TEST(Philox, BelowHasNoBias) {
  // For n = 3 * 2^62 a plain remainder would give the first third of the outcomes twice the weight of the others.
  constexpr std::uint64_t kThird = std::uint64_t{1} << 62;
  constexpr int kDrawn = 30000;
  PhiloxStream stream(11, "bias");
  std::array<int, 3> count{};
  for (int i = 0; i < kDrawn; ++i) ++count[static_cast<std::size_t>(stream.next_below(3 * kThird) / kThird)];
  // Each is binomial with mean 10000 and deviation 82; the biased method would give 15000, 7500, 7500.
  for (const int c : count) EXPECT_NEAR(c, kDrawn / 3, 6 * 82);
}

TEST(Philox, BelowZeroIsRefused) {
  PhiloxStream stream(1, "x");
  EXPECT_EQ(code_of([&] { stream.next_below(0); }), Errc::kInvalidArgument);
}

TEST(Philox, NormalsHaveTheMomentsOfANormal) {
  constexpr int kDrawn = 20000;
  PhiloxStream stream(5, "normal");
  double sum = 0, square = 0, fourth = 0;
  for (int i = 0; i < kDrawn; ++i) {
    const double x = stream.next_normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x, square += x * x, fourth += x * x * x * x;
  }
  // Six standard errors: 1/sqrt(n), sqrt(2/n), sqrt(96/n).
  EXPECT_NEAR(sum / kDrawn, 0.0, 6 * std::sqrt(1.0 / kDrawn));
  EXPECT_NEAR(square / kDrawn, 1.0, 6 * std::sqrt(2.0 / kDrawn));
  EXPECT_NEAR(fourth / kDrawn, 3.0, 6 * std::sqrt(96.0 / kDrawn));
}

TEST(Permutation, EqualsTheIndependentProgram) {
  EXPECT_EQ(permutation(20, {42, "epoch:berlin", 3}),
            (std::vector<std::int64_t>(std::begin(kPermutation), std::end(kPermutation))));
}

TEST(Permutation, HoldsEveryNumberOnce) {
  for (const std::int64_t n : {0, 1, 2, 3, 17, 1000}) {
    std::vector<std::int64_t> p = permutation(n, {1, "p"});
    if (n > 3) {
      EXPECT_FALSE(std::ranges::is_sorted(p));
    }
    std::ranges::sort(p);
    std::vector<std::int64_t> all(static_cast<std::size_t>(n));
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(p, all);
  }
}

TEST(Permutation, AllOrdersAreEquallyLikely) {
  constexpr int kDrawn = 12000;
  std::array<int, 27> count{};
  for (int i = 0; i < kDrawn; ++i) {
    const auto p = permutation(3, {8, "orders", static_cast<std::uint64_t>(i)});
    ++count[static_cast<std::size_t>(9 * p[0] + 3 * p[1] + p[2])];
  }
  int orders = 0;
  for (const int c : count) {
    if (c == 0) continue;
    ++orders;
    EXPECT_NEAR(c, kDrawn / 6, 6 * 41);  // binomial, deviation 41; swapping with any place would give 4/27 and 5/27
  }
  EXPECT_EQ(orders, 6);
}

TEST(Permutation, ANegativeCountIsRefused) {
  EXPECT_EQ(code_of([] { permutation(-1, {1, "p"}); }), Errc::kInvalidArgument);
}

}  // namespace
}  // namespace sutura
