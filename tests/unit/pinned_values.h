#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/bytes.h"

namespace sutura::testing {

/// The first words of PhiloxStream(seed, stream, index).
struct StreamWords {
  std::uint64_t seed;
  std::string_view stream;
  std::uint64_t index;
  std::uint32_t words[9];
};
/// The first values of next_below(n) of PhiloxStream(7, "below").
struct Draws {
  std::uint64_t n;
  std::uint64_t values[6];
};
/// BLAKE2b-256 of pattern(size), keyed with pattern(key_size) unless that is 0.
struct Hash {
  std::size_t size;
  std::size_t key_size;
  std::string_view hex;
};
// Also: kWords64, next_u64 of PhiloxStream(7, "u64"); kPermutation, of PhiloxStream(42, "epoch:berlin", 3);
// kCrcs[size], CRC-32 of pattern(size).
#include "tests/unit/pinned_values.inc"

/// Bytes without a period below 256.
inline Bytes pattern(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 37 + 11);
  return bytes;
}

}  // namespace sutura::testing
