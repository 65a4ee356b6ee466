#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

namespace sutura::reference {

/// sums[c] = sum over positions p of term(p * channels + c, c), in double: blocks of 128 positions added one by one to
/// 0, then block by block. A function of the number of positions alone, and channels vectorise. `block` is scratch of
/// the same length as `sums`.
template <class Term>
void channel_sums(std::int64_t positions, std::int64_t channels, double* sums, std::vector<double>& block, Term term) {
  constexpr std::int64_t kBlock = 128;
  std::fill_n(sums, channels, 0.0);
  block.resize(static_cast<std::size_t>(channels));
  for (std::int64_t first = 0; first < positions; first += kBlock) {
    std::ranges::fill(block, 0.0);
    const std::int64_t end = std::min(first + kBlock, positions);
    for (std::int64_t p = first; p < end; ++p) {
      for (std::int64_t c = 0; c < channels; ++c) block[static_cast<std::size_t>(c)] += term(p * channels + c, c);
    }
    for (std::int64_t c = 0; c < channels; ++c) sums[c] += block[static_cast<std::size_t>(c)];
  }
}

}  // namespace sutura::reference
