#pragma once
#include <bit>
#include <cstdint>

#include "kernels/cuda/simt.h"
#include "kernels/ops/release_rows/release_rows_impl.h"
#include "kernels/ops/release_rows/rounded_gaussian.h"

/// Draws of the rounded Gaussian on a device: the numbers of rounded_gaussian.h from the same words. For .cu files.
namespace sutura::SUTURA_DEVICE {
namespace {

#include "kernels/ops/release_rows/rounded_gaussian_table.inc"

}  // namespace

inline constexpr int kTreeLevels = 12, kTreeSize = 1 << kTreeLevels;
inline constexpr int kDraws = static_cast<int>(kWordsPerBlock);  ///< draws of one keystream block

/// The upper halves of the thresholds as a complete search tree: the children of node i are 2 i and 2 i + 1, node 0 is not used.
/// Against the sorted table of the CPU: one level's nodes are neighbours, so the lanes of a warp, which mostly differ by a few
/// nodes, fall on different banks of shared memory; in the sorted table they would all fall on the same one.
struct NoiseTree {
  std::uint64_t at[kTreeSize];
};
struct ExactThresholds {
  Threshold at[kThresholds];
};
constexpr NoiseTree make_noise_tree() {
  NoiseTree tree{};
  for (int level = 0; level < kTreeLevels; ++level)
    for (int i = 0; i < 1 << level; ++i) {
      const int k = (2 * i + 1) * (1 << (kTreeLevels - 1 - level)) - 1;
      tree.at[(1 << level) + i] = k < kThresholds ? kThreshold[k].high : ~std::uint64_t{0} >> 1;  // no u is above it
    }
  return tree;
}
constexpr ExactThresholds make_exact_thresholds() {
  ExactThresholds all{};
  for (int k = 0; k < kThresholds; ++k) all.at[k] = kThreshold[k];
  return all;
}
namespace {
__device__ const NoiseTree kNoiseTree = make_noise_tree();                    // copied to shared memory by every block
__device__ const ExactThresholds kExactThresholds = make_exact_thresholds();  // for ties only
}  // namespace

/// Word e of a keystream block: 32-bit words 2 e (lower) and 2 e + 1.
__device__ __forceinline__ std::uint64_t draw_word(const std::uint32_t (&words)[2 * kDraws], int e) {
  return std::uint64_t{words[2 * e + 1]} << 32 | words[2 * e];
}

__device__ __forceinline__ std::int32_t with_sign(std::int32_t magnitude, std::uint32_t word) {
  const auto flip = -static_cast<std::int32_t>(word & 1u);
  return (magnitude ^ flip) - flip;
}

/// z of draw e where its 63 bits do not settle it: 64 more bits from the same place of the extension's keystream.
template <class Keystream>
__device__ std::int32_t settled_draw(const Keystream& keystream, std::uint32_t block, int e) {
  std::uint32_t words[2 * kDraws];
  std::uint64_t word = 0, extension = 0;
  for (int part = 0; part < 2; ++part) {
    keystream(part == 0 ? 0u : kExtensionKind, block, words);
    std::uint64_t chosen = 0;
    SUTURA_UNROLL
    for (int k = 0; k < kDraws; ++k) chosen = k == e ? draw_word(words, k) : chosen;
    (part == 0 ? word : extension) = chosen;
  }
  const std::uint64_t u = word >> 1;
  int magnitude = 0;
  while (magnitude < kThresholds &&
         (kExactThresholds.at[magnitude].high < u ||
          (kExactThresholds.at[magnitude].high == u && kExactThresholds.at[magnitude].low <= extension)))
    ++magnitude;
  return with_sign(magnitude, static_cast<std::uint32_t>(word));
}

/// The eight draws of keystream block `block`. `keystream(kind, block, words)` fills 16 words; `tree` is kNoiseTree, in shared
/// memory.
/// Every draw takes twelve steps and one look at the result, whatever its value: no secret-dependent branch. The addresses in
/// shared memory do depend on the draws, as on the CPU, and so does the number of lanes that meet on a bank: the time of a warp's
/// step varies with the values of its 32 draws together. Nobody outside the kernel sees a warp; a launch as a whole sums over all
/// draws. Ties (fewer than 2^-48 per block) are settled at once, by the thread that meets one, with no list, second kernel or
/// wait: the draw stays a function of key, nonce and element alone.
template <class Keystream>
__device__ __forceinline__ void noise_draws(const Keystream& keystream, std::uint32_t block, const std::uint64_t* tree,
                                            std::int32_t (&z)[kDraws]) {
  std::uint32_t words[2 * kDraws];
  keystream(0u, block, words);
  std::uint64_t u[kDraws];
  std::uint32_t node[kDraws];
  SUTURA_UNROLL
  for (int e = 0; e < kDraws; ++e) {
    u[e] = draw_word(words, e) >> 1;
    node[e] = 1;
  }
  // Eight independent searches hide the latency of each other's loads. Both numbers have 63 bits: the sign of the difference is
  // the comparison.
  for (int level = 0; level < kTreeLevels; ++level) {
    SUTURA_UNROLL
    for (int e = 0; e < kDraws; ++e) node[e] = 2 * node[e] + static_cast<std::uint32_t>((tree[node[e]] - u[e]) >> 63);
  }
  std::uint32_t ties = 0;
  SUTURA_UNROLL
  for (int e = 0; e < kDraws; ++e) {
    const std::uint32_t magnitude = node[e] - kTreeSize;  // thresholds below u
    // The next threshold, number m of the sorted ones counting from 1, is the node where the search last went to the left.
    const std::uint32_t m = magnitude + 1, lowest_bit = m & (0u - m);
    const std::uint32_t next = (kTreeSize + m) >> (count_ones(lowest_bit - 1) + 1);
    ties |= static_cast<std::uint32_t>(tree[next] == u[e]) << e;
    z[e] = with_sign(static_cast<std::int32_t>(magnitude), words[2 * e]);
  }
  if (ties == 0) return;
  for (int e = 0; e < kDraws; ++e) {
    if ((ties >> e & 1u) == 0) continue;
    const std::int32_t settled = settled_draw(keystream, block, e);
    SUTURA_UNROLL
    for (int k = 0; k < kDraws; ++k) z[k] = k == e ? settled : z[k];
  }
}

}  // namespace sutura::SUTURA_DEVICE
