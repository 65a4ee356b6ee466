#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "chi_square.h"
#include "core/bytes.h"
#include "core/random/chacha20.h"
#include "kernels/ops/release_rows/rounded_gaussian.h"
#include "reference_rows.h"
#include "runtime/privacy/accountant.h"

namespace sutura {
namespace {

using privacy_tests::chi_square_p;
using privacy_tests::Histogram;
using privacy_tests::reference_rows;
using privacy_tests::rounded_pmf;

std::vector<Isa> isas() {
  std::vector<Isa> all = {Isa::kBaseline};
  if (widest_isa() >= Isa::kAvx2) all.push_back(Isa::kAvx2);
  if (widest_isa() >= Isa::kAvx512) all.push_back(Isa::kAvx512);
  return all;
}

std::vector<std::uint64_t> test_words(std::size_t blocks, std::uint32_t nonce) {
  std::vector<std::uint64_t> words(8 * blocks);
  Bytes key(32, std::byte{7});
  chacha20_keystream(ChaChaKey{key}, {nonce, 0, 0}, 0, std::as_writable_bytes(std::span(words)));
  return words;
}

std::int32_t linear_search(std::uint64_t word, std::uint64_t extension) {
  std::int32_t magnitude = 0;
  for (const Threshold& t : rounded_gaussian_thresholds())
    if (t.high < word >> 1 || (t.high == word >> 1 && t.low <= extension)) ++magnitude;
  return (word & 1) ? -magnitude : magnitude;
}

TEST(NoiseTable, EqualsTheReferenceBitForBit) {
  const auto table = rounded_gaussian_thresholds();
  ASSERT_EQ(table.size(), 3356u);
  int compared = 0;
  for (const auto& row : reference_rows("J")) {
    if (row.quantity.starts_with("T_")) {
      const Threshold& t = table[std::stoul(row.quantity.substr(2))];
      char text[40];
      std::snprintf(text, sizeof text, "0x%016llx%016llx", static_cast<unsigned long long>(t.high),
                    static_cast<unsigned long long>(t.low));
      EXPECT_EQ(text, row.value) << row.quantity;
      ++compared;
    } else if (row.quantity.starts_with("P(Z=")) {
      const int k = std::stoi(row.quantity.substr(4));
      const auto real = [&](int i) {
        return i < 0 ? 0.0L
                     : std::ldexp(static_cast<long double>(table[static_cast<std::size_t>(i)].high), -63) +
                           std::ldexp(static_cast<long double>(table[static_cast<std::size_t>(i)].low), -127);
      };
      const long double p = (real(k) - real(k - 1)) / (k == 0 ? 1 : 2);
      EXPECT_NEAR(static_cast<double>(p), std::stod(row.value), 1e-14) << row.quantity;
      EXPECT_NEAR(rounded_pmf(256, k), std::stod(row.value), 1e-14);
      ++compared;
    } else if (row.quantity.starts_with("first k whose high")) {
      const auto first = std::find_if(table.begin(), table.end(), [](const Threshold& t) { return t.high == ~0ull >> 1; });
      EXPECT_EQ(std::to_string(first - table.begin()), row.value);
      ++compared;
    }
  }
  EXPECT_EQ(compared, 14 + 7 + 1);
}

TEST(NoiseTable, HasTheDigestItStates) {
  const auto table = rounded_gaussian_thresholds();
  Bytes packed(16 * table.size());
  for (std::size_t k = 0; k < table.size(); ++k) {
    store_le(std::span(packed), 16 * k, table[k].high);
    store_le(std::span(packed), 16 * k + 8, table[k].low);
  }
  EXPECT_EQ(to_hex(blake2b(packed)), rounded_gaussian_digest());
  packed[1000] ^= std::byte{1};
  EXPECT_NE(to_hex(blake2b(packed)), rounded_gaussian_digest());
}

TEST(NoiseSampler, EveryPathEqualsALinearSearch) {
  std::vector<std::uint64_t> words = test_words(40, 1);
  // Next to every threshold, both sides and the tie itself.
  for (std::size_t k = 0; k < rounded_gaussian_thresholds().size(); k += 7) {
    const std::uint64_t high = rounded_gaussian_thresholds()[k].high;
    for (const std::uint64_t u : {high - 1, high, std::min(high + 1, ~std::uint64_t{0} >> 1)}) words.push_back(u << 1 | (k & 1));
  }
  words.insert(words.end(), {0, 1, ~0ull, ~0ull - 1});
  std::size_t ties = 0;
  for (const std::uint64_t w : words) ties += needs_extension(w);
  EXPECT_GT(ties, 400u);
  for (const Isa isa : isas()) {
    for (const std::size_t n : {words.size(), std::size_t{1}, std::size_t{31}, std::size_t{33}, std::size_t{0}}) {
      std::vector<std::int32_t> z(n);
      const std::span<const std::uint64_t> some(words.data(), n);
      const std::size_t found = rounded_gaussian(isa, some, z);
      EXPECT_EQ(found, static_cast<std::size_t>(std::count_if(some.begin(), some.end(), needs_extension)));
      for (std::size_t i = 0; i < n; ++i) {
        if (needs_extension(words[i])) continue;
        ASSERT_EQ(z[i], linear_search(words[i], 0)) << name(isa) << " word " << i;
      }
    }
  }
}

TEST(NoiseSampler, TiesTakeSixtyFourMoreBits) {
  const auto table = rounded_gaussian_thresholds();
  for (const std::size_t k : {0u, 1u, 256u, 2000u, 2324u, 2325u, 2400u, 3355u}) {
    const std::uint64_t word = table[k].high << 1;
    ASSERT_TRUE(needs_extension(word));
    for (const std::uint64_t extension : {std::uint64_t{0}, table[k].low - 1, table[k].low, ~std::uint64_t{0}}) {
      EXPECT_EQ(extended_draw(word, extension), linear_search(word, extension)) << k;
      EXPECT_EQ(extended_draw(word | 1, extension), -linear_search(word, extension)) << k;
    }
  }
  EXPECT_EQ(extended_draw(~0ull - 1, ~0ull), kNoiseMax);
  EXPECT_EQ(extended_draw(~0ull - 1, 0), 2325);
  EXPECT_FALSE(needs_extension(12345));
}

Histogram drawn(std::size_t blocks) {
  const std::vector<std::uint64_t> words = test_words(blocks, 99);
  std::vector<std::int32_t> z(words.size());
  rounded_gaussian(widest_isa(), words, z);
  Histogram h;
  h.add(z);
  return h;
}

TEST(NoiseSampler, FitsTheRoundedGaussian) {
  const Histogram h = drawn(std::size_t{1} << 19);  // 4.2 million draws
  const double p = chi_square_p(h, 256);
  EXPECT_GT(p, 1e-4);
  EXPECT_LT(p, 1 - 1e-4);
  const auto n = static_cast<double>(h.n);
  EXPECT_LT(std::fabs(h.sum / n), 4 * 256 / std::sqrt(n));
  // The variance of the sample variance of a Gaussian is 2 sigma^4 / n.
  EXPECT_NEAR(h.squares / n, 65536 + 1.0 / 12, 5 * 65536 * std::sqrt(2 / n));
  // Negative controls: the same tests tell a deviation that is off by two percent, and the moment one that is off by one.
  EXPECT_LT(chi_square_p(h, 261), 1e-4);
  EXPECT_GT(std::fabs(h.squares / n - 258.56 * 258.56), 5 * 65536 * std::sqrt(2 / n));
}

TEST(NoiseSampler, NeighboursAndStreamsAreUncorrelated) {
  const std::vector<std::uint64_t> first = test_words(1 << 17, 1), second = test_words(1 << 17, 2);
  std::vector<std::int32_t> a(first.size()), b(second.size());
  rounded_gaussian(widest_isa(), first, a);
  rounded_gaussian(widest_isa(), second, b);
  const auto correlation = [](std::span<const std::int32_t> x, std::span<const std::int32_t> y) {
    double sum = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sum += static_cast<double>(x[i]) * y[i];
    return sum / (65536.0 * static_cast<double>(x.size()));
  };
  const double limit = 4.5 / std::sqrt(static_cast<double>(a.size()));
  for (const std::size_t lag : {1, 2, 7, 8, 64}) {
    EXPECT_LT(std::fabs(correlation(std::span(a).subspan(lag), std::span(a).first(a.size() - lag))), limit) << lag;
  }
  EXPECT_LT(std::fabs(correlation(a, b)), limit);
  EXPECT_GT(correlation(a, a), 0.9);
}

double rounded_delta(const std::vector<double>& pmf, int reach, int shift, double epsilon) {
  double delta = 0;
  for (int k = -reach; k <= reach + shift; ++k) {
    const auto at = [&](int i) { return std::abs(i) <= reach ? pmf[static_cast<std::size_t>(i + reach)] : 0.0; };
    delta += std::max(0.0, at(k - shift) - std::exp(epsilon) * at(k));
  }
  return delta;
}

TEST(NoiseTable, RoundingNeverCostsMoreThanTheContinuousClaim) {
  for (const auto& row : reference_rows("I")) {
    const double sigma = std::stod(row.sigma);
    const int shift = std::stoi(row.relation.substr(row.relation.find(' ') + 1));
    const int reach = static_cast<int>(40 * sigma);
    std::vector<double> pmf;
    for (int k = -reach; k <= reach; ++k) pmf.push_back(rounded_pmf(sigma, k));
    const double epsilon = std::stod(row.quantity.substr(row.quantity.find('=') + 1));
    const double expected = std::stod(row.value);
    const double got = rounded_delta(pmf, reach, shift, epsilon);
    EXPECT_NEAR(got, expected, 1e-10 * expected) << row.relation;
    EXPECT_LE(got, gaussian_delta(sigma / shift, 1, epsilon) * (1 + 1e-12)) << row.relation;
  }
  // The committed table itself, at the distances that plans use.
  const auto table = rounded_gaussian_thresholds();
  std::vector<double> pmf(2 * kNoiseMax + 1);
  for (int k = 0; k <= kNoiseMax; ++k) {
    const auto below = [&](int i) {
      if (i < 0) return 0.0L;
      if (i >= kNoiseMax) return 1.0L;
      return std::ldexp(static_cast<long double>(table[static_cast<std::size_t>(i)].high), -63) +
             std::ldexp(static_cast<long double>(table[static_cast<std::size_t>(i)].low), -127);
    };
    const auto p = static_cast<double>((below(k) - below(k - 1)) / (k == 0 ? 1 : 2));
    pmf[static_cast<std::size_t>(kNoiseMax + k)] = pmf[static_cast<std::size_t>(kNoiseMax - k)] = p;
  }
  for (const int distance : {64, 128, 256, 426, 512}) {
    for (const double epsilon : {0.1, 0.5, 1.0, 3.0}) {
      const double continuous = gaussian_delta(256.0 / distance, 1, epsilon);
      if (continuous < 1e-10) continue;  // below what sums of doubles resolve
      const double rounded = rounded_delta(pmf, kNoiseMax, distance, epsilon);
      EXPECT_LE(rounded, continuous * (1 + 1e-9)) << distance;
      EXPECT_GT(rounded, continuous * 0.9) << distance;  // and it is not trivially small
    }
  }
}

}  // namespace
}  // namespace sutura
