#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/isa.h"

namespace sutura {

/// Deviation of the noise, in grid steps. Fixed: the table is made for it.
inline constexpr int kNoiseSigma = 256;
/// Largest magnitude that the table can give.
inline constexpr int kNoiseMax = 3356;

/// A 127-bit number: T_k = high * 2^64 + low.
struct Threshold {
  std::uint64_t high;  ///< 63 bits
  std::uint64_t low;
};
/// T_k = round(2^127 P(|Z| <= k)) for k = 0..3355 (T_3356 would be 2^127).
std::span<const Threshold> rounded_gaussian_thresholds();
/// BLAKE2b-256 of the table, hex, as stated by the script that made it.
const char* rounded_gaussian_digest();

/// Draws of the Gaussian of deviation 256 rounded to integers: z[i] from words[i], where bit 0 is the sign and the
/// upper 63 bits u give the magnitude #{k : high_k < u}. Where some high_k equals u (a tie, at most 2325 * 2^-63 per
/// word) the draw needs the 64 bits of extended_draw(); z[i] is then one of the candidates. Returns  the number of
/// ties, practically always 0. Numbers  The same values for every isa. Twelve search steps per word whatever its value:
/// no secret-dependent branch.
///          (The addresses read do depend on it; the table is 32 KiB.)
/// Source   inversion of the cumulative distribution; P(Z = k) = Phi((k+1/2)/256) - Phi((k-1/2)/256).
std::size_t rounded_gaussian(Isa isa, std::span<const std::uint64_t> words, std::span<std::int32_t> z);

/// True where the 63 bits of `word` do not settle the draw.
bool needs_extension(std::uint64_t word);
/// The exact draw from 1 + 63 + 64 bits: magnitude #{k : T_k <= u * 2^64 + extension}.
std::int32_t extended_draw(std::uint64_t word, std::uint64_t extension);

}  // namespace sutura
