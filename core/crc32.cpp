#include <immintrin.h>

#include <array>

#include "core/bytes.h"

// Every payload byte passes through here twice, so the CRC is folded 64 bytes at a time where the CPU multiplies without
// carries. Source: Gopal, Ozturk, Guilford, Wolrich, Feghali, Dixon, Karakoyunlu 2009, "Fast CRC computation for generic
// polynomials using PCLMULQDQ instruction" (reflected form; the constants are powers of x modulo the polynomial).
namespace sutura {
namespace {

// Slicing by 8, for short spans and tails.
constexpr auto kTables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    t[0][i] = c;
  }
  for (std::size_t i = 0; i < 256; ++i)
    for (std::size_t k = 1; k < 8; ++k) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 255];
  return t;
}();

std::uint32_t by_tables(ByteSpan bytes, std::uint32_t c) {
  const auto& t = kTables;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    const auto v = load_le<std::uint64_t>(bytes, i) ^ c;
    c = t[7][v & 255] ^ t[6][(v >> 8) & 255] ^ t[5][(v >> 16) & 255] ^ t[4][(v >> 24) & 255] ^ t[3][(v >> 32) & 255] ^
        t[2][(v >> 40) & 255] ^ t[1][(v >> 48) & 255] ^ t[0][v >> 56];
  }
  for (; i < bytes.size(); ++i) c = (c >> 8) ^ t[0][(c ^ std::to_integer<std::uint32_t>(bytes[i])) & 255];
  return c;
}

#define SUTURA_FOLD __attribute__((target("pclmul,sse4.1")))

/// a * x^k + next: both halves of `a` multiplied by their constants, added without carries.
SUTURA_FOLD __m128i folded(__m128i a, __m128i constants, __m128i next) {
  return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(a, constants, 0x00), _mm_clmulepi64_si128(a, constants, 0x11)), next);
}

/// `bytes` holds a multiple of 16, at least 64.
SUTURA_FOLD std::uint32_t by_folding(ByteSpan bytes, std::uint32_t c) {
  const auto* p = reinterpret_cast<const __m128i*>(bytes.data());
  std::size_t left = bytes.size() / 16 - 4;
  __m128i lane[4] = {_mm_xor_si128(_mm_loadu_si128(p), _mm_cvtsi32_si128(static_cast<int>(c))), _mm_loadu_si128(p + 1),
                     _mm_loadu_si128(p + 2), _mm_loadu_si128(p + 3)};
  p += 4;
  const __m128i by_512 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  for (; left >= 4; left -= 4, p += 4)
    for (int k = 0; k < 4; ++k) lane[k] = folded(lane[k], by_512, _mm_loadu_si128(p + k));
  const __m128i by_128 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  __m128i x = lane[0];
  for (int k = 1; k < 4; ++k) x = folded(x, by_128, lane[k]);
  for (; left > 0; --left, ++p) x = folded(x, by_128, _mm_loadu_si128(p));
  // 128 bits to 64, to 32, then Barrett's reduction.
  const __m128i low_words = _mm_setr_epi32(-1, 0, -1, 0);
  x = _mm_xor_si128(_mm_srli_si128(x, 8), _mm_clmulepi64_si128(x, by_128, 0x10));
  x = _mm_xor_si128(_mm_srli_si128(x, 4), _mm_clmulepi64_si128(_mm_and_si128(x, low_words), _mm_set_epi64x(0, 0x0163cd6124), 0x00));
  const __m128i barrett = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  __m128i q = _mm_clmulepi64_si128(_mm_and_si128(x, low_words), barrett, 0x10);
  q = _mm_clmulepi64_si128(_mm_and_si128(q, low_words), barrett, 0x00);
  return static_cast<std::uint32_t>(_mm_extract_epi32(_mm_xor_si128(x, q), 1));
}

#undef SUTURA_FOLD

}  // namespace

std::uint32_t crc32(ByteSpan bytes, std::uint32_t seed) {
  std::uint32_t c = ~seed;
  if (bytes.size() >= 64 && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1")) {
    const std::size_t even = bytes.size() / 16 * 16;
    c = by_folding(bytes.first(even), c);
    bytes = bytes.subspan(even);
  }
  return ~by_tables(bytes, c);
}

}  // namespace sutura
