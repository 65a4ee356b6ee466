#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <vector>

#include "core/random/chacha20.h"
#include "tests/privacy/chi_square.h"

namespace sutura {
namespace {

TEST(NoiseLong, AHundredMillionDrawsFitTheRoundedGaussian) {
  constexpr std::size_t kBlocks = 1 << 13;
  std::vector<std::uint64_t> words(8 * kBlocks);
  std::vector<std::int32_t> z(words.size());
  privacy_tests::Histogram h;
  const ChaChaKey key{Bytes(32, std::byte{42})};
  for (std::uint32_t nonce = 0; h.n < 100'000'000; ++nonce) {
    chacha20_keystream(key, {nonce, 0, 0}, 0, std::as_writable_bytes(std::span(words)));
    ASSERT_EQ(rounded_gaussian(widest_isa(), words, z), 0u);
    h.add(z);
  }
  const double p = privacy_tests::chi_square_p(h, 256);
  std::printf("n %lld, p %.4f\n", static_cast<long long>(h.n), p);
  EXPECT_GT(p, 1e-4);
  EXPECT_LT(p, 1 - 1e-4);
  const auto n = static_cast<double>(h.n);
  EXPECT_LT(std::fabs(h.sum / n), 4 * 256 / std::sqrt(n));
  EXPECT_NEAR(h.squares / n, 65536.083333, 5 * 65536 * std::sqrt(2 / n));
  EXPECT_LT(privacy_tests::chi_square_p(h, 256.9), 1e-4);  // a third of a percent is seen
}

}  // namespace
}  // namespace sutura
