#include "core/random/chacha20.h"

#include <string.h>  // explicit_bzero

#include <cstring>
#include <utility>

#include "core/error.h"

namespace sutura {
namespace {

#define CHACHA_INLINE inline __attribute__((always_inline))

// One vector holds the same state word of kLanes consecutive blocks.
template <int kBytes>
struct Vec {
  typedef std::uint32_t V __attribute__((vector_size(kBytes)));
  typedef std::uint64_t V64 __attribute__((vector_size(kBytes)));
};

template <class V>
CHACHA_INLINE void rotate(V& x, int n) {
  x = (x << n) | (x >> (32 - n));
}

template <class V>
CHACHA_INLINE void quarter_round(V& a, V& b, V& c, V& d) {
  a += b, d ^= a, rotate(d, 16);
  c += d, b ^= c, rotate(b, 12);
  a += b, d ^= a, rotate(d, 8);
  c += d, b ^= c, rotate(b, 7);
}

/// Turns four vectors (words 4g..4g+3 of all blocks) so that each 16-byte part holds four words of one block:
/// part p of vector i belongs to block 4p + i.
template <int kBytes>
CHACHA_INLINE void transpose_words(typename Vec<kBytes>::V& a, typename Vec<kBytes>::V& b, typename Vec<kBytes>::V& c,
                                   typename Vec<kBytes>::V& d) {
  using V = typename Vec<kBytes>::V;
  using V64 = typename Vec<kBytes>::V64;
  constexpr int kLanes = kBytes / 4;
  V low32, high32;
  for (int i = 0; i < kLanes; ++i) {
    const int part = i / 4 * 4;
    low32[i] = static_cast<std::uint32_t>(part + i % 4 / 2 + (i % 2) * kLanes);
    high32[i] = static_cast<std::uint32_t>(part + 2 + i % 4 / 2 + (i % 2) * kLanes);
  }
  V64 low64, high64;
  for (int i = 0; i < kLanes / 2; ++i) {
    const int part = i / 2 * 2;
    low64[i] = static_cast<std::uint64_t>(part + (i % 2) * (kLanes / 2));
    high64[i] = static_cast<std::uint64_t>(part + 1 + (i % 2) * (kLanes / 2));
  }
  const V64 ab_low = (V64)__builtin_shuffle(a, b, low32), ab_high = (V64)__builtin_shuffle(a, b, high32);
  const V64 cd_low = (V64)__builtin_shuffle(c, d, low32), cd_high = (V64)__builtin_shuffle(c, d, high32);
  a = (V)__builtin_shuffle(ab_low, cd_low, low64);
  b = (V)__builtin_shuffle(ab_low, cd_low, high64);
  c = (V)__builtin_shuffle(ab_high, cd_high, low64);
  d = (V)__builtin_shuffle(ab_high, cd_high, high64);
}

template <int kBytes>
CHACHA_INLINE void keystream_body(const std::uint32_t* state, std::byte* out, std::size_t blocks) {
  using V = typename Vec<kBytes>::V;
  constexpr int kLanes = kBytes / 4;
  alignas(64) std::byte stage[kLanes * kChaChaBlockBytes];
  for (std::size_t first = 0; first < blocks; first += kLanes) {
    V x[16];
    for (int i = 0; i < 16; ++i) x[i] = V{} + state[i];
    V counters = x[12];
    for (int lane = 0; lane < kLanes; ++lane)
      counters[lane] += static_cast<std::uint32_t>(first) + static_cast<std::uint32_t>(lane);
    x[12] = counters;
    for (int round = 0; round < 20; round += 2) {
      quarter_round(x[0], x[4], x[8], x[12]);
      quarter_round(x[1], x[5], x[9], x[13]);
      quarter_round(x[2], x[6], x[10], x[14]);
      quarter_round(x[3], x[7], x[11], x[15]);
      quarter_round(x[0], x[5], x[10], x[15]);
      quarter_round(x[1], x[6], x[11], x[12]);
      quarter_round(x[2], x[7], x[8], x[13]);
      quarter_round(x[3], x[4], x[9], x[14]);
    }
    for (int i = 0; i < 16; ++i) x[i] += i == 12 ? counters : V{} + state[i];
    const bool whole = blocks - first >= kLanes;
    std::byte* to = whole ? out + first * kChaChaBlockBytes : stage;
    for (int g = 0; g < 4; ++g) {
      transpose_words<kBytes>(x[4 * g], x[4 * g + 1], x[4 * g + 2], x[4 * g + 3]);
      for (int i = 0; i < 4; ++i) {
        alignas(64) std::byte parts[kBytes];
        std::memcpy(parts, &x[4 * g + i], kBytes);
        for (int p = 0; p < kLanes / 4; ++p) std::memcpy(to + (4 * p + i) * 64 + g * 16, parts + p * 16, 16);
      }
    }
    if (!whole) std::memcpy(out + first * kChaChaBlockBytes, stage, (blocks - first) * kChaChaBlockBytes);
  }
}

void keystream_baseline(const std::uint32_t* state, std::byte* out, std::size_t blocks) {
  keystream_body<16>(state, out, blocks);
}
__attribute__((target("avx2"))) void keystream_avx2(const std::uint32_t* state, std::byte* out, std::size_t blocks) {
  keystream_body<32>(state, out, blocks);
}
__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) void keystream_avx512(
    const std::uint32_t* state, std::byte* out, std::size_t blocks) {
  keystream_body<64>(state, out, blocks);
}

ChaChaPath probe() {
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    return ChaChaPath::kAvx512;
  }
  return __builtin_cpu_supports("avx2") ? ChaChaPath::kAvx2 : ChaChaPath::kBaseline;
}

}  // namespace

ChaChaPath fastest_chacha_path() {
  static const ChaChaPath path = probe();
  return path;
}

ChaChaKey::ChaChaKey(ByteSpan bytes) {
  require(bytes.size() == sizeof words_, Errc::kInvalidArgument, "a ChaCha20 key has 32 bytes");
  std::memcpy(words_.data(), bytes.data(), sizeof words_);
}

ChaChaKey::~ChaChaKey() { ::explicit_bzero(words_.data(), sizeof words_); }

ChaChaKey::ChaChaKey(ChaChaKey&& other) noexcept : words_(other.words_) {
  ::explicit_bzero(other.words_.data(), sizeof other.words_);
}

ChaChaKey& ChaChaKey::operator=(ChaChaKey&& other) noexcept {
  if (this != &other) {
    words_ = other.words_;
    ::explicit_bzero(other.words_.data(), sizeof other.words_);
  }
  return *this;
}

void chacha20_keystream(const ChaChaKey& key, const ChaChaNonce& nonce, std::uint32_t counter, std::span<std::byte> out,
                        ChaChaPath path) {
  require(out.size() % kChaChaBlockBytes == 0, Errc::kInvalidArgument, "keystream is made in whole 64-byte blocks");
  require(path <= fastest_chacha_path(), Errc::kInvalidArgument, "this CPU does not have that instruction set");
  const std::size_t blocks = out.size() / kChaChaBlockBytes;
  if (blocks == 0) return;
  require(counter + (blocks - 1) <= 0xffffffffu, Errc::kInvalidArgument, "the keystream of one nonce ends at 2^32 blocks");
  std::array<std::uint32_t, 16> state = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};  // "expand 32-byte k"
  for (std::size_t i = 0; i < 8; ++i) state[4 + i] = key.words()[i];
  state[12] = counter;
  for (std::size_t i = 0; i < 3; ++i) state[13 + i] = nonce[i];
  switch (path) {
    case ChaChaPath::kBaseline: keystream_baseline(state.data(), out.data(), blocks); break;
    case ChaChaPath::kAvx2: keystream_avx2(state.data(), out.data(), blocks); break;
    case ChaChaPath::kAvx512: keystream_avx512(state.data(), out.data(), blocks); break;
  }
  ::explicit_bzero(state.data(), sizeof state);
}

void wipe(std::span<std::byte> memory) {
  if (!memory.empty()) ::explicit_bzero(memory.data(), memory.size());
}

}  // namespace sutura
