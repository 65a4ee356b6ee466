#include "kernels/cpu/reduce.h"

namespace sutura::reference {

namespace {

constexpr std::size_t kBlock = 256;
constexpr std::size_t kLanes = 8;

template <class T, class Term>
double block_sum(const T* v, std::size_t n, Term term) {
  double lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (std::size_t j = 0; j < kLanes; ++j) lanes[j] += term(v[i + j]);
  }
  for (std::size_t j = 0; i < n; ++i, ++j) lanes[j] += term(v[i]);
  return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

template <class T, class Term>
double tree(const T* v, std::size_t n, Term term) {
  if (n <= kBlock) return block_sum(v, n, term);
  // The left half is the largest power of two of blocks below n: the split is a function of n alone.
  std::size_t left = kBlock;
  while (left * 2 < n) left *= 2;
  return tree(v, left, term) + tree(v + left, n - left, term);
}

}  // namespace

double sum_tree(std::span<const float> values) {
  return tree(values.data(), values.size(), [](float x) { return static_cast<double>(x); });
}
double sum_tree(std::span<const double> values) {
  return tree(values.data(), values.size(), [](double x) { return x; });
}
double sum_squares_tree(std::span<const float> values) {
  return tree(values.data(), values.size(), [](float x) { return static_cast<double>(x) * static_cast<double>(x); });
}

}  // namespace sutura::reference
