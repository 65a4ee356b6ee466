#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

/// Sums whose order depends on the length alone: the same bits on every machine, whatever the vector width or thread
/// count.
namespace sutura::reference {

/// Sum in double: blocks of 256 values, eight interleaved lanes in each, lanes then blocks combined pairwise by index.
double sum_tree(std::span<const float> values);
double sum_tree(std::span<const double> values);
/// Sum of squares, in the same tree.
double sum_squares_tree(std::span<const float> values);

/// Adds equally long vectors pairwise by index: (v0 + v1) + (v2 + v3) ..., an odd rest joined from the right. Holds one
/// vector per tree level instead of all of them.
template <class T>
class PairwiseSum {
 public:
  explicit PairwiseSum(std::size_t length) : leaf_(length) {}
  /// Where the next vector is written, every element of it, before push().
  std::span<T> leaf() { return leaf_; }
  void push() {
    std::size_t level = 0;
    for (; level < levels_.size() && occupied(level); ++level) add_to_leaf(levels_[level]);
    if (level == levels_.size()) levels_.emplace_back(leaf_.size());
    std::swap(levels_[level], leaf_);
    ++count_;
  }
  /// The total; at least one push() came before. The object is spent.
  std::span<const T> total() {
    bool first = true;
    for (std::size_t level = 0; level < levels_.size(); ++level) {
      if (!occupied(level)) continue;
      if (first) {
        std::swap(levels_[level], leaf_);
      } else {
        add_to_leaf(levels_[level]);
      }
      first = false;
    }
    return leaf_;
  }

 private:
  /// A level holds a sum of 2^level vectors exactly where the count has that bit.
  bool occupied(std::size_t level) const { return (count_ >> level) & 1u; }
  void add_to_leaf(const std::vector<T>& left) {
    for (std::size_t i = 0; i < leaf_.size(); ++i) leaf_[i] = left[i] + leaf_[i];
  }
  std::vector<T> leaf_;
  std::vector<std::vector<T>> levels_;
  std::uint64_t count_ = 0;
};

}  // namespace sutura::reference
