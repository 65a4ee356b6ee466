#include "kernels/ops/matmul_reference.h"

#include <algorithm>
#include <cstring>

namespace sutura::reference {

namespace {

constexpr std::int64_t kInnerBlock = 128;
constexpr int kRows = 4;

template <int kLanes>
struct Vector {
  typedef float Type __attribute__((vector_size(kLanes * sizeof(float))));
};

/// One block of the inner dimension as the inner loops see it.
struct Block {
  MatrixView a;          // [rows, inner]
  const float* b;        // [inner, columns]
  float* c;              // [rows, columns]
  std::int64_t columns;  // row stride of b and c
  std::int64_t inner;
  Product product;
};

[[gnu::always_inline]] inline void store(float* c, float sum, Product product) {
  *c = product == Product::kOverwrite ? sum : *c + sum;
}

/// Rows m .. m + kRowCount, columns n .. n + kVectors * kLanes. Sums stay in registers over the whole block.
template <int kLanes, int kVectors, int kRowCount>
[[gnu::always_inline]] inline void tile(const Block& k, std::int64_t m, std::int64_t n) {
  using V = typename Vector<kLanes>::Type;
  V sum[kRowCount][kVectors] = {};
  const float* a = k.a.data + m * k.a.row_stride;
  const float* b = k.b + n;
  for (std::int64_t i = 0; i < k.inner; ++i, a += k.a.column_stride, b += k.columns) {
    V right[kVectors];
    std::memcpy(right, b, sizeof right);
    for (int r = 0; r < kRowCount; ++r) {
      const float left = a[r * k.a.row_stride];
      for (int v = 0; v < kVectors; ++v) sum[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < kRowCount; ++r) {
    float* c = k.c + (m + r) * k.columns + n;
    if (k.product == Product::kAccumulate) {
      V before[kVectors];
      std::memcpy(before, c, sizeof before);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = before[v] + sum[r][v];
    }
    std::memcpy(c, sum[r], sizeof sum[r]);
  }
}

template <int kRowCount>
[[gnu::always_inline]] inline void scalar_columns(const Block& k, std::int64_t m, std::int64_t n) {
  for (; n < k.columns; ++n) {
    float sum[kRowCount] = {};
    for (std::int64_t i = 0; i < k.inner; ++i) {
      const float right = k.b[i * k.columns + n];
      const float* a = k.a.data + m * k.a.row_stride + i * k.a.column_stride;
      for (int r = 0; r < kRowCount; ++r) sum[r] += a[r * k.a.row_stride] * right;
    }
    for (int r = 0; r < kRowCount; ++r) store(k.c + (m + r) * k.columns + n, sum[r], k.product);
  }
}

template <int kLanes, int kRowCount>
[[gnu::always_inline]] inline void row_strip(const Block& k, std::int64_t m) {
  std::int64_t n = 0;
  for (; n + 2 * kLanes <= k.columns; n += 2 * kLanes) tile<kLanes, 2, kRowCount>(k, m, n);
  for (; n + kLanes <= k.columns; n += kLanes) tile<kLanes, 1, kRowCount>(k, m, n);
  if (kLanes > 4 && n + 4 <= k.columns) {
    tile<4, 1, kRowCount>(k, m, n);
    n += 4;
  }
  scalar_columns<kRowCount>(k, m, n);
}

template <int kLanes>
[[gnu::always_inline]] inline void all_rows(const Block& k, std::int64_t rows) {
  std::int64_t m = 0;
  for (; m + kRows <= rows; m += kRows) row_strip<kLanes, kRows>(k, m);
  for (; m < rows; ++m) row_strip<kLanes, 1>(k, m);
}

void block_sse2(const Block& k, std::int64_t rows) { all_rows<4>(k, rows); }
__attribute__((target("avx2"))) void block_avx2(const Block& k, std::int64_t rows) { all_rows<8>(k, rows); }

}  // namespace

VectorWidth widest_vector() { return __builtin_cpu_supports("avx2") ? VectorWidth::kEight : VectorWidth::kFour; }

void matmul(const MatrixView& a, const float* b, float* c, std::int64_t rows, std::int64_t columns, std::int64_t inner,
            Product product, VectorWidth width) {
  for (std::int64_t begin = 0; begin < inner; begin += kInnerBlock) {
    const Block block{{a.data + begin * a.column_stride, a.row_stride, a.column_stride},
                      b + begin * columns,
                      c,
                      columns,
                      std::min(kInnerBlock, inner - begin),
                      begin == 0 ? product : Product::kAccumulate};
    if (width == VectorWidth::kEight) {
      block_avx2(block, rows);
    } else {
      block_sse2(block, rows);
    }
  }
}

void transpose(const float* from, std::int64_t rows, std::int64_t columns, float* to) {
  for (std::int64_t c = 0; c < columns; ++c) {
    for (std::int64_t r = 0; r < rows; ++r) to[c * rows + r] = from[r * columns + c];
  }
}

}  // namespace sutura::reference
