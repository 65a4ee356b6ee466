#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

namespace sutura {

/// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): counter-based, not cryptographic.
/// For initialisation, shuffles, dropout and tests. Never for privacy noise or keys.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// A sequence that is a pure function of (seed, stream, index); copies are independent cursors.
class PhiloxStream {
 public:
  /// `stream` names the purpose ("init:conv1.weight", "shuffle"); `index` the occasion (a step or an epoch).
  PhiloxStream(std::uint64_t seed, std::string_view stream, std::uint64_t index = 0);
  /// At the beginning of the stream with these words().
  explicit PhiloxStream(const std::array<std::uint32_t, 4>& words)
      : key_{words[0], words[1]}, counter_{0, 0, words[2], words[3]} {}
  /// All that the stream is a function of: the key, then the upper half of the counter. Block b of four words is
  /// philox4x32({lower half of b, upper half of b, words[2], words[3]}, {words[0], words[1]}).
  std::array<std::uint32_t, 4> words() const { return {key_[0], key_[1], counter_[2], counter_[3]}; }
  std::uint32_t next_u32();
  std::uint64_t next_u64();
  /// Uniform in [0, 1): 24 random bits, exact in float.
  float next_float();
  /// Uniform in [0, 1): 53 random bits.
  double next_double();
  /// Uniform in [0, n), without modulo bias. Errors: kInvalidArgument for n = 0.
  std::uint64_t next_below(std::uint64_t n);
  /// Standard normal (Box-Muller in double). Uses libm: for data synthesis and tests, not for bit-exact paths.
  double next_normal();

 private:
  std::array<std::uint32_t, 2> key_{};
  std::array<std::uint32_t, 4> counter_{};
  std::array<std::uint32_t, 4> block_{};
  int used_ = 4;
};

/// Fisher-Yates permutation of 0..n-1, a pure function of the stream. Errors: kInvalidArgument for a negative n.
std::vector<std::int64_t> permutation(std::int64_t n, PhiloxStream stream);

}  // namespace sutura
