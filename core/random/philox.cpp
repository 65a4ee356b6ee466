#include "core/random/philox.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "core/bytes.h"
#include "core/error.h"

namespace sutura {

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(b),
         static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(a)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

PhiloxStream::PhiloxStream(std::uint64_t seed, std::string_view stream, std::uint64_t index) {
  key_ = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  // Two words name the purpose and occasion, two count blocks.
  Bytes text(stream.size() + 8);
  std::ranges::copy(as_bytes(stream), text.begin());
  store_le(std::span(text), stream.size(), index);
  const Digest d = blake2b(text);
  counter_ = {0, 0, load_le<std::uint32_t>(d, 0), load_le<std::uint32_t>(d, 4)};
}

std::uint32_t PhiloxStream::next_u32() {
  if (used_ == 4) {
    block_ = philox4x32(counter_, key_);
    if (++counter_[0] == 0) ++counter_[1];
    used_ = 0;
  }
  return block_[static_cast<std::size_t>(used_++)];
}

std::uint64_t PhiloxStream::next_u64() {
  const std::uint64_t low = next_u32();
  return low | std::uint64_t{next_u32()} << 32;
}

float PhiloxStream::next_float() { return static_cast<float>(next_u32() >> 8) * 0x1p-24f; }
double PhiloxStream::next_double() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

std::uint64_t PhiloxStream::next_below(std::uint64_t n) {
  require(n >= 1, Errc::kInvalidArgument, "a draw below 0 has no outcome");
  const std::uint64_t limit = ~std::uint64_t{0} - (~std::uint64_t{0} % n + 1) % n;  // largest multiple of n, minus 1
  std::uint64_t v = next_u64();
  while (v > limit) v = next_u64();
  return v % n;
}

double PhiloxStream::next_normal() {
  const double u = 1.0 - next_double();
  const double v = next_double();
  return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
}

std::vector<std::int64_t> permutation(std::int64_t n, PhiloxStream stream) {
  require(n >= 0, Errc::kInvalidArgument, "a permutation of a negative count");
  std::vector<std::int64_t> p(static_cast<std::size_t>(n));
  std::iota(p.begin(), p.end(), 0);
  for (std::size_t i = p.size(); i > 1; --i) std::swap(p[i - 1], p[stream.next_below(i)]);
  return p;
}

}  // namespace sutura
