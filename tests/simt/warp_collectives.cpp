// What the 32 lanes of a warp do together. Lanes bring their part, the last one to arrive computes for all, and each takes its
// part when it goes on.
#include <bit>
#include <cstring>

#include "block.h"
#include "core/error.h"

namespace sutura::executor {

void warp_barrier(unsigned line) { arrive({"warp_sync", line}); }

std::uint64_t exchange(std::uint64_t v, unsigned from, unsigned line) {
  const unsigned lane = block->lane();
  Warp& w = block->warp();
  w.given[lane] = v;
  w.from[lane] = from;
  if (arrive({"a shuffle", line}))
    for (unsigned l = 0; l < kWarp; ++l) w.taken[l] = w.given[w.from[l]];
  return w.taken[lane];
}

std::uint32_t ballot(bool predicate, unsigned line) {
  Warp& w = block->warp();
  w.bits |= static_cast<std::uint32_t>(predicate) << block->lane();
  if (arrive({"warp_ballot", line})) {
    w.voted = w.bits;
    w.bits = 0;
  }
  return w.voted;
}

void load_matrix_x4(std::uint32_t (&r)[4], const void* row, bool transposed, unsigned line) {
  const unsigned lane = block->lane();
  Warp& w = block->warp();
  require(reinterpret_cast<std::uintptr_t>(row) % 16 == 0, Errc::kDevice, "a row of load_matrix_x4 is not 16-byte aligned");
  require(block->shared.holds(row, 16), Errc::kDevice, "a row of load_matrix_x4 does not lie in one shared array");
  w.rows[lane] = row;
  if (arrive({transposed ? "load_matrix_x4_transposed" : "load_matrix_x4", line})) {
    for (unsigned m = 0; m < 4; ++m) {
      std::uint16_t element[8][8];
      for (unsigned i = 0; i < 8; ++i) std::memcpy(element[i], w.rows[8 * m + i], sizeof element[i]);
      for (unsigned l = 0; l < kWarp; ++l) {
        const unsigned g = l / 4, t = l % 4 * 2;
        const std::uint32_t lower = transposed ? element[t][g] : element[g][t], upper = transposed ? element[t + 1][g] : element[g][t + 1];
        w.matrix[l][m] = lower | upper << 16;
      }
    }
  }
  std::memcpy(r, w.matrix[lane], sizeof r);
}

namespace {

float lower(std::uint32_t r) { return std::bit_cast<float>(r << 16); }
float upper(std::uint32_t r) { return std::bit_cast<float>(r & 0xffff0000u); }
/// The product ignores the fraction bits that tf32 lacks.
float tf32(std::uint32_t r) { return std::bit_cast<float>(r & 0xffffe000u); }

/// product = a b.
template <int kDepth>
void multiply(Warp& w) {
  for (int i = 0; i < 16; ++i) {
    float sum[8] = {};
    for (int k = 0; k < kDepth; ++k)
      for (int j = 0; j < 8; ++j) sum[j] += w.a[i][k] * w.b[k][j];
    std::memcpy(w.product[i], sum, sizeof sum);
  }
}

void add_product(float (&d)[4], const Warp& w, unsigned g, unsigned t) {
  d[0] += w.product[g][2 * t];
  d[1] += w.product[g][2 * t + 1];
  d[2] += w.product[g + 8][2 * t];
  d[3] += w.product[g + 8][2 * t + 1];
}

}  // namespace

void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], unsigned line) {
  const unsigned g = block->lane() / 4, t = block->lane() % 4;
  Warp& w = block->warp();
  for (unsigned r = 0; r < 4; ++r) {
    const unsigned row = g + r % 2 * 8, column = 2 * t + r / 2 * 8;
    w.a[row][column] = lower(a[r]);
    w.a[row][column + 1] = upper(a[r]);
  }
  for (unsigned r = 0; r < 2; ++r) {
    w.b[2 * t + 8 * r][g] = lower(b[r]);
    w.b[2 * t + 8 * r + 1][g] = upper(b[r]);
  }
  if (arrive({"mma_bf16", line})) multiply<16>(w);
  add_product(d, w, g, t);
}

void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], unsigned line) {
  const unsigned g = block->lane() / 4, t = block->lane() % 4;
  Warp& w = block->warp();
  for (unsigned r = 0; r < 4; ++r) w.a[g + r % 2 * 8][t + r / 2 * 4] = tf32(a[r]);
  for (unsigned r = 0; r < 2; ++r) w.b[t + 4 * r][g] = tf32(b[r]);
  if (arrive({"mma_tf32", line})) multiply<8>(w);
  add_product(d, w, g, t);
}

}  // namespace sutura::executor
