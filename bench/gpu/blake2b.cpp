// BLAKE2b-256 after RFC 7693, for a build without libsodium (scripts/cmake/GpuCheck.cmake): random streams are named through it.
// Everywhere else core/blake2b.cpp serves. No secret goes through this one: that build has no fresh or derived keys.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/bytes.h"
#include "core/error.h"

namespace sutura {
namespace {

using Words = std::array<std::uint64_t, 8>;
constexpr std::size_t kBlock = 128;
constexpr Words kStart = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                          0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
/// Order of the message words in each round (RFC 7693 section 2.7); rounds 10 and 11 repeat 0 and 1.
constexpr std::uint8_t kOrder[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};

void compress(Words& h, const unsigned char* block, std::uint64_t bytes_so_far, bool last) {
  std::array<std::uint64_t, 16> m, v;
  std::memcpy(m.data(), block, kBlock);
  std::copy(h.begin(), h.end(), v.begin());
  std::copy(kStart.begin(), kStart.end(), v.begin() + 8);
  v[12] ^= bytes_so_far;
  if (last) v[14] = ~v[14];
  const auto mix = [&](int a, int b, int c, int d, std::uint64_t x, std::uint64_t y) {
    const auto A = static_cast<std::size_t>(a), B = static_cast<std::size_t>(b), C = static_cast<std::size_t>(c), D = static_cast<std::size_t>(d);
    v[A] += v[B] + x;
    v[D] = std::rotr(v[D] ^ v[A], 32);
    v[C] += v[D];
    v[B] = std::rotr(v[B] ^ v[C], 24);
    v[A] += v[B] + y;
    v[D] = std::rotr(v[D] ^ v[A], 16);
    v[C] += v[D];
    v[B] = std::rotr(v[B] ^ v[C], 63);
  };
  for (int round = 0; round < 12; ++round) {
    const std::uint8_t* s = kOrder[round % 10];
    for (int i = 0; i < 4; ++i) mix(i, 4 + i, 8 + i, 12 + i, m[s[2 * i]], m[s[2 * i + 1]]);
    for (int i = 0; i < 4; ++i) mix(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, m[s[8 + 2 * i]], m[s[9 + 2 * i]]);
  }
  for (std::size_t i = 0; i < 8; ++i) h[i] ^= v[i] ^ v[8 + i];
}

}  // namespace

Digest blake2b(ByteSpan bytes) { return blake2b_keyed({}, bytes); }

Digest blake2b_keyed(ByteSpan key, ByteSpan bytes) {
  static_assert(std::endian::native == std::endian::little);
  require(key.size() <= 64, Errc::kInvalidArgument, "a BLAKE2b key has at most 64 bytes");
  Digest out;
  Words h = kStart;
  h[0] ^= 0x01010000u ^ (static_cast<std::uint64_t>(key.size()) << 8) ^ out.size();
  // The key, padded to a block, stands before the message; the last block may be full, and is empty only where there is nothing.
  Bytes all(key.empty() ? 0 : kBlock);
  std::copy(key.begin(), key.end(), all.begin());
  all.insert(all.end(), bytes.begin(), bytes.end());
  const std::size_t size = all.size();
  all.resize(std::max(kBlock, (size + kBlock - 1) / kBlock * kBlock));
  for (std::size_t at = 0; at < all.size(); at += kBlock) {
    const bool last = at + kBlock == all.size();
    compress(h, reinterpret_cast<const unsigned char*>(all.data()) + at, last ? size : at + kBlock, last);
  }
  std::memcpy(out.data(), h.data(), out.size());
  return out;
}

}  // namespace sutura
