#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace sutura {

/// Up to six dimensions, a value. Images are [N, H, W, C], rows are [N, D]. A rank-0 shape holds one element.
class Shape {
 public:
  static constexpr int kMaxRank = 6;
  Shape() = default;
  /// Errors: kInvalidArgument for more than six or negative dimensions, or a product (from the left) above 2^40.
  Shape(std::initializer_list<std::int64_t> dims);
  explicit Shape(std::span<const std::int64_t> dims);

  int rank() const { return rank_; }
  std::int64_t operator[](int i) const { return dims_[static_cast<std::size_t>(i)]; }
  std::int64_t elements() const;
  std::span<const std::int64_t> dims() const { return {dims_.data(), static_cast<std::size_t>(rank_)}; }
  /// The same shape with the first dimension replaced. Errors: kShapeMismatch at rank 0; as the constructor.
  Shape with_batch(std::int64_t n) const;
  /// Product of all dimensions but the first: values per record. Errors: kInvalidArgument above 2^40, which only a shape
  /// without records can reach.
  std::int64_t row_elements() const;
  bool operator==(const Shape&) const = default;
  /// "[32, 28, 28, 1]"
  std::string text() const;

 private:
  std::array<std::int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

}  // namespace sutura
