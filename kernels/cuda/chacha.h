#pragma once
#include <cstdint>

#include "kernels/cuda/simt.h"

namespace sutura::SUTURA_DEVICE {

/// Key and nonce of one keystream. A kernel takes it as an argument, by value: arguments lie in the launch's constant bank, so
/// the key is in no tensor, no workspace and no pool. (A launch copies its arguments, on the host's stack and in the driver: those
/// copies are not wiped.)
struct ChaChaStream {
  std::uint32_t key[8];
  std::uint32_t nonce[3];
};

__device__ __forceinline__ void chacha_quarter_round(std::uint32_t& a, std::uint32_t& b, std::uint32_t& c, std::uint32_t& d) {
  a += b, d = rotate_left(d ^ a, 16);
  c += d, b = rotate_left(b ^ c, 12);
  a += b, d = rotate_left(d ^ a, 8);
  c += d, b = rotate_left(b ^ c, 7);
}

/// Keystream block `counter` as its 16 little-endian words; `nonce0` stands in for the first word of the stream's nonce. One
/// thread makes one block: about 1000 additions, exclusive ors and rotations on 16 registers, no memory and no branch.
/// Source   RFC 8439 section 2.3.
__device__ __forceinline__ void chacha20_block(const ChaChaStream& s, std::uint32_t nonce0, std::uint32_t counter,
                                               std::uint32_t (&out)[16]) {
  const std::uint32_t start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u, s.key[0], s.key[1],
                                   s.key[2],    s.key[3],    s.key[4],    s.key[5],    s.key[6], s.key[7],
                                   counter,     nonce0,      s.nonce[1],  s.nonce[2]};
  std::uint32_t x[16];
  SUTURA_UNROLL
  for (int i = 0; i < 16; ++i) x[i] = start[i];
  for (int round = 0; round < 20; round += 2) {
    chacha_quarter_round(x[0], x[4], x[8], x[12]);
    chacha_quarter_round(x[1], x[5], x[9], x[13]);
    chacha_quarter_round(x[2], x[6], x[10], x[14]);
    chacha_quarter_round(x[3], x[7], x[11], x[15]);
    chacha_quarter_round(x[0], x[5], x[10], x[15]);
    chacha_quarter_round(x[1], x[6], x[11], x[12]);
    chacha_quarter_round(x[2], x[7], x[8], x[13]);
    chacha_quarter_round(x[3], x[4], x[9], x[14]);
  }
  SUTURA_UNROLL
  for (int i = 0; i < 16; ++i) out[i] = x[i] + start[i];
}

}  // namespace sutura::SUTURA_DEVICE
