#pragma once
#include <cstdint>

namespace sutura::reference {

/// A strided read-only matrix: element (m, k) lies at data[m * row_stride + k * column_stride].
struct MatrixView {
  const float* data;
  std::int64_t row_stride;
  std::int64_t column_stride;
};

/// Whether the product replaces C or is added to it, block by block.
enum class Product { kOverwrite, kAccumulate };
/// Columns computed at a time. Every element's order of additions is the same in both: so are the bits.
enum class VectorWidth { kFour, kEight };
/// kEight where the CPU has AVX2.
VectorWidth widest_vector();

/// C (+)= A B with A [rows, inner], B [inner, columns] and C [rows, columns] dense by rows.
/// Numbers  c = (block 0) + (block 1) + ..., left to right; a block is 128 products added one by one to 0. Rounded
///          after every multiplication and addition. An element depends on its row of A and its column of B alone, not
///          on the sizes.
void matmul(const MatrixView& a, const float* b, float* c, std::int64_t rows, std::int64_t columns, std::int64_t inner,
            Product product, VectorWidth width = widest_vector());

/// to[c * rows + r] = from[r * columns + c].
void transpose(const float* from, std::int64_t rows, std::int64_t columns, float* to);

}  // namespace sutura::reference
