#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "core/random/philox.h"
#include "kernels/cpu/reduce.h"
#include "kernels/ops/matmul_reference.h"

namespace sutura::reference {
namespace {

std::vector<float> random_floats(std::size_t count, std::uint64_t seed) {
  PhiloxStream random(seed, "sums");
  std::vector<float> v(count);
  for (float& x : v) x = (random.next_float() - 0.5f) * (random.next_below(30) == 0 ? 1000.0f : 1.0f);
  return v;
}

/// The documented tree: the left part is the largest power of two below the count.
float pairwise(const std::vector<float>& v, std::size_t begin, std::size_t end) {
  if (end - begin == 1) return v[begin];
  std::size_t left = 1;
  while (left * 2 < end - begin) left *= 2;
  return pairwise(v, begin, begin + left) + pairwise(v, begin + left, end);
}

TEST(PairwiseSum, FollowsTheDocumentedTreeToTheBit) {
  for (std::size_t count = 1; count <= 70; ++count) {
    const std::vector<float> v = random_floats(count, count);
    PairwiseSum<float> sum(1);
    for (const float x : v) {
      sum.leaf()[0] = x;
      sum.push();
    }
    EXPECT_EQ(sum.total()[0], pairwise(v, 0, count)) << count;
  }
}

TEST(SumTree, IsAccurateAtEveryLength) {
  for (const std::size_t n : {0, 1, 7, 8, 9, 255, 256, 257, 511, 513, 1000, 5000}) {
    const std::vector<float> v = random_floats(n, n);
    long double sum = 0.0L, squares = 0.0L, size = 0.0L;
    for (const float x : v) {
      sum += x;
      size += std::abs(x);
      squares += static_cast<long double>(x) * x;
    }
    // Double sums of n <= 5000 terms: 1e-13 of the sum of sizes is n * 2^-53 with room for nothing else.
    EXPECT_LE(std::abs(static_cast<double>(sum - sum_tree(v))), 1e-13 * static_cast<double>(size)) << n;
    EXPECT_LE(std::abs(static_cast<double>(squares - sum_squares_tree(v))), 1e-13 * static_cast<double>(squares)) << n;
  }
}

TEST(Matmul, VectorWidthDoesNotChangeABit) {
  if (widest_vector() != VectorWidth::kEight) GTEST_SKIP() << "no AVX2";
  for (const std::int64_t columns : {1, 3, 4, 7, 8, 12, 13, 16, 21, 24, 31}) {
    for (const std::int64_t inner : {1, 127, 129, 300}) {
      const std::int64_t rows = 7;
      const auto a = random_floats(static_cast<std::size_t>(rows * inner), 1);
      const auto b = random_floats(static_cast<std::size_t>(inner * columns), 2);
      for (const Product product : {Product::kOverwrite, Product::kAccumulate}) {
        std::vector<float> four(static_cast<std::size_t>(rows * columns), 3.0f), eight = four;
        matmul({a.data(), inner, 1}, b.data(), four.data(), rows, columns, inner, product, VectorWidth::kFour);
        matmul({a.data(), inner, 1}, b.data(), eight.data(), rows, columns, inner, product, VectorWidth::kEight);
        EXPECT_EQ(std::memcmp(four.data(), eight.data(), four.size() * sizeof(float)), 0) << columns << " " << inner;
      }
    }
  }
}

TEST(Matmul, FollowsTheDocumentedOrderToTheBit) {
  const std::int64_t rows = 5, columns = 19, inner = 290;
  const auto a = random_floats(static_cast<std::size_t>(rows * inner), 3);
  const auto b = random_floats(static_cast<std::size_t>(inner * columns), 4);
  std::vector<float> c(static_cast<std::size_t>(rows * columns));
  matmul({a.data(), inner, 1}, b.data(), c.data(), rows, columns, inner, Product::kOverwrite);
  for (std::int64_t m = 0; m < rows; ++m) {
    for (std::int64_t n = 0; n < columns; ++n) {
      float total = 0.0f;
      for (std::int64_t first = 0; first < inner; first += 128) {
        float block = 0.0f;
        for (std::int64_t k = first; k < std::min(first + 128, inner); ++k) {
          const float product = a[static_cast<std::size_t>(m * inner + k)] * b[static_cast<std::size_t>(k * columns + n)];
          block += product;
        }
        total = first == 0 ? block : total + block;
      }
      EXPECT_EQ(c[static_cast<std::size_t>(m * columns + n)], total) << m << " " << n;
    }
  }
}

TEST(Matmul, ReadsATransposedLeftSide) {
  const std::int64_t rows = 6, columns = 5, inner = 9;
  const auto a = random_floats(static_cast<std::size_t>(rows * inner), 5);
  const auto b = random_floats(static_cast<std::size_t>(inner * columns), 6);
  std::vector<float> turned(a.size()), plain(static_cast<std::size_t>(rows * columns)), strided(plain.size());
  transpose(a.data(), rows, inner, turned.data());
  matmul({a.data(), inner, 1}, b.data(), plain.data(), rows, columns, inner, Product::kOverwrite);
  matmul({turned.data(), 1, rows}, b.data(), strided.data(), rows, columns, inner, Product::kOverwrite);
  EXPECT_EQ(plain, strided);
}

}  // namespace
}  // namespace sutura::reference
