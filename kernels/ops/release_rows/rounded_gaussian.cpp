#include "kernels/ops/release_rows/rounded_gaussian.h"

// GCC 12's AVX-512 header trips over its own placeholder values (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "core/error.h"

namespace sutura {
namespace {

#include "kernels/ops/release_rows/rounded_gaussian_table.inc"

static_assert(kThresholds == kNoiseMax);

constexpr int kSearchSize = 4096;
constexpr std::uint64_t kAllOnes = ~std::uint64_t{0} >> 1;  // no u is above it, so padding never counts

struct alignas(64) Upper {
  std::uint64_t at[kSearchSize];
};
constexpr Upper kUpper = [] {
  Upper t{};
  for (int k = 0; k < kSearchSize; ++k) t.at[k] = k < kThresholds ? kThreshold[k].high : kAllOnes;
  return t;
}();

constexpr std::uint64_t pivot(int step_index, int segment) {
  const int size = kSearchSize >> step_index;
  return kUpper.at[segment * size + size / 2 - 1];
}
/// Pivots of the first five search steps: they fit in vector registers.
struct alignas(64) RegisterPivots {
  std::uint64_t step[4][8];
  std::uint64_t step4[16];
};
constexpr RegisterPivots kPivots = [] {
  RegisterPivots p{};
  for (int s = 0; s < 4; ++s)
    for (int j = 0; j < 8; ++j) p.step[s][j] = pivot(s, j % (1 << s));
  for (int j = 0; j < 16; ++j) p.step4[j] = pivot(4, j);
  return p;
}();

std::int32_t with_sign(std::uint64_t magnitude, std::uint64_t word) {
  const auto flip = -static_cast<std::int32_t>(word & 1);
  return (static_cast<std::int32_t>(magnitude) ^ flip) - flip;
}

/// #{k : high_k < u}. Arithmetic only: both numbers have 63 bits, so the sign of the difference is the comparison.
inline std::uint64_t count_below(std::uint64_t u) {
  std::uint64_t at = 0;
  for (std::uint64_t step = kSearchSize / 2; step > 0; step /= 2) at += step & -((kUpper.at[at + step - 1] - u) >> 63);
  return at;
}

std::size_t draw_baseline(const std::uint64_t* words, std::int32_t* z, std::size_t n) {
  std::uint64_t ties = 0;
  std::size_t i = 0;
  constexpr std::size_t kTogether = 8;  // independent searches hide the latency of the loads
  for (; i + kTogether <= n; i += kTogether) {
    std::uint64_t u[kTogether], at[kTogether] = {};
    for (std::size_t j = 0; j < kTogether; ++j) u[j] = words[i + j] >> 1;
    for (std::uint64_t step = kSearchSize / 2; step > 0; step /= 2)
      for (std::size_t j = 0; j < kTogether; ++j) at[j] += step & -((kUpper.at[at[j] + step - 1] - u[j]) >> 63);
    for (std::size_t j = 0; j < kTogether; ++j) {
      ties += ((kUpper.at[at[j]] ^ u[j]) - 1) >> 63;
      z[i + j] = with_sign(at[j], words[i + j]);
    }
  }
  for (; i < n; ++i) {
    const std::uint64_t u = words[i] >> 1, at = count_below(u);
    ties += ((kUpper.at[at] ^ u) - 1) >> 63;
    z[i] = with_sign(at, words[i]);
  }
  return static_cast<std::size_t>(ties);
}

__attribute__((target("avx2"))) std::size_t draw_avx2(const std::uint64_t* words, std::int32_t* z, std::size_t n) {
  constexpr std::size_t kVectors = 4, kTogether = 4 * kVectors;
  const auto* table = reinterpret_cast<const long long*>(kUpper.at);
  std::size_t ties = 0, i = 0;
  for (; i + kTogether <= n; i += kTogether) {
    __m256i w[kVectors], u[kVectors], at[kVectors];
    for (std::size_t j = 0; j < kVectors; ++j) {
      w[j] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + i + 4 * j));
      u[j] = _mm256_srli_epi64(w[j], 1);
      at[j] = _mm256_setzero_si256();
    }
    for (int step = kSearchSize / 2; step > 0; step /= 2) {
      const __m256i size = _mm256_set1_epi64x(step);
      for (std::size_t j = 0; j < kVectors; ++j) {
        const __m256i high = _mm256_i64gather_epi64(table + (step - 1), at[j], 8);
        at[j] = _mm256_add_epi64(at[j], _mm256_and_si256(size, _mm256_cmpgt_epi64(u[j], high)));
      }
    }
    for (std::size_t j = 0; j < kVectors; ++j) {
      const __m256i equal = _mm256_cmpeq_epi64(_mm256_i64gather_epi64(table, at[j], 8), u[j]);
      ties += static_cast<std::size_t>(__builtin_popcount(static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(equal)))));
      const __m256i flip = _mm256_sub_epi64(_mm256_setzero_si256(), _mm256_and_si256(w[j], _mm256_set1_epi64x(1)));
      const __m256i value = _mm256_sub_epi64(_mm256_xor_si256(at[j], flip), flip);
      const __m256i packed = _mm256_permutevar8x32_epi32(value, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(z + i + 4 * j), _mm256_castsi256_si128(packed));
    }
  }
  return ties + draw_baseline(words + i, z + i, n - i);
}

__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) std::size_t draw_avx512(
    const std::uint64_t* words, std::int32_t* z, std::size_t n) {
  constexpr std::size_t kVectors = 4, kTogether = 8 * kVectors;
  const __m512i first_steps[4] = {_mm512_load_si512(kPivots.step[0]), _mm512_load_si512(kPivots.step[1]),
                                  _mm512_load_si512(kPivots.step[2]), _mm512_load_si512(kPivots.step[3])};
  const __m512i p4a = _mm512_load_si512(kPivots.step4), p4b = _mm512_load_si512(kPivots.step4 + 8);
  const __m512i one = _mm512_set1_epi64(1);
  std::size_t ties = 0, i = 0;
  for (; i + kTogether <= n; i += kTogether) {
    __m512i w[kVectors], u[kVectors], at[kVectors];
    for (std::size_t j = 0; j < kVectors; ++j) {
      w[j] = _mm512_loadu_si512(words + i + 8 * j);
      u[j] = _mm512_srli_epi64(w[j], 1);
      // The first five steps without memory: the segment number grows by one bit per step.
      __m512i s = _mm512_setzero_si512();
      for (const __m512i& pivots : first_steps) {
        const __mmask8 above = _mm512_cmpgt_epu64_mask(u[j], _mm512_permutexvar_epi64(s, pivots));
        s = _mm512_add_epi64(s, s);
        s = _mm512_mask_add_epi64(s, above, s, one);
      }
      const __mmask8 above = _mm512_cmpgt_epu64_mask(u[j], _mm512_permutex2var_epi64(p4a, s, p4b));
      s = _mm512_add_epi64(s, s);
      s = _mm512_mask_add_epi64(s, above, s, one);
      at[j] = _mm512_slli_epi64(s, 7);
    }
    for (int step = kSearchSize >> 6; step > 0; step /= 2) {
      const __m512i size = _mm512_set1_epi64(step);
      for (std::size_t j = 0; j < kVectors; ++j) {
        const __m512i high = _mm512_i64gather_epi64(at[j], kUpper.at + (step - 1), 8);
        at[j] = _mm512_mask_add_epi64(at[j], _mm512_cmpgt_epu64_mask(u[j], high), at[j], size);
      }
    }
    for (std::size_t j = 0; j < kVectors; ++j) {
      const __mmask8 equal = _mm512_cmpeq_epu64_mask(_mm512_i64gather_epi64(at[j], kUpper.at, 8), u[j]);
      ties += static_cast<std::size_t>(__builtin_popcount(equal));
      const __m512i flip = _mm512_sub_epi64(_mm512_setzero_si512(), _mm512_and_si512(w[j], one));
      const __m512i value = _mm512_sub_epi64(_mm512_xor_si512(at[j], flip), flip);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(z + i + 8 * j), _mm512_cvtepi64_epi32(value));
    }
  }
  return ties + draw_baseline(words + i, z + i, n - i);
}

}  // namespace

std::span<const Threshold> rounded_gaussian_thresholds() { return kThreshold; }
const char* rounded_gaussian_digest() { return kThresholdsDigest; }

std::size_t rounded_gaussian(Isa isa, std::span<const std::uint64_t> words, std::span<std::int32_t> z) {
  require(words.size() == z.size(), Errc::kShapeMismatch, "one word per draw is needed");
  switch (isa) {
    case Isa::kAvx512: return draw_avx512(words.data(), z.data(), words.size());
    case Isa::kAvx2: return draw_avx2(words.data(), z.data(), words.size());
    case Isa::kBaseline: break;
  }
  return draw_baseline(words.data(), z.data(), words.size());
}

bool needs_extension(std::uint64_t word) {
  const std::uint64_t u = word >> 1;
  return kUpper.at[count_below(u)] == u;
}

std::int32_t extended_draw(std::uint64_t word, std::uint64_t extension) {
  const std::uint64_t u = word >> 1;
  std::uint64_t magnitude = count_below(u);
  while (magnitude < kThresholds && kThreshold[magnitude].high == u && kThreshold[magnitude].low <= extension) ++magnitude;
  return with_sign(magnitude, word);
}

}  // namespace sutura
