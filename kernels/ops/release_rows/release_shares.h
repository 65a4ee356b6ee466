#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/ops/release_rows/release_rows_impl.h"

namespace sutura {

/// How a release is shared out over blocks: groups of whole rows, or, where long rows are at most half as many as multiprocessors,
/// slices of a group of one row. Every block of a group quantises all rows that its slice touches, since a norm needs the whole row, and draws the
/// noise of its slice alone: no block waits for another, and the integers do not depend on any of these numbers.
struct ReleaseShares {
  std::int64_t rows;      ///< of a group; the last may have fewer
  std::int64_t slices;    ///< of a group
  std::int64_t elements;  ///< of a slice, a multiple of 8; the last of a group may have fewer
  std::int64_t blocks;    ///< groups * slices
};

/// Shares of n rows of d values on blocks of `threads` threads that serve `teams` rows side by side; `at_once` such blocks run on
/// each of the device's multiprocessors.
inline ReleaseShares release_shares(std::int64_t n, std::int64_t d, std::int64_t threads, std::int64_t teams,
                                    std::int64_t at_once, std::int64_t multiprocessors) {
  constexpr std::int64_t kWords = static_cast<std::int64_t>(kWordsPerBlock);
  constexpr std::int64_t kEnough = 16384;  // values, 200 instructions each, beside which the load of the tree is small
  const auto ceiling = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  const std::int64_t busy = kWords * threads;  // values that give every thread a keystream block
  const std::int64_t least = std::clamp<std::int64_t>(busy / d, 1, teams), most = std::max(least, kEnough / d);
  ReleaseShares s{};
  s.rows = std::clamp(n / (multiprocessors * at_once), least, most);
  const std::int64_t groups = ceiling(n, s.rows),
                     slices = std::clamp<std::int64_t>(multiprocessors / groups, 1, ceiling(s.rows * d, busy));
  s.elements = ceiling(ceiling(s.rows * d, slices), kWords) * kWords;
  s.slices = ceiling(s.rows * d, s.elements);
  s.blocks = groups * s.slices;
  return s;
}

}  // namespace sutura
