#include "core/shape.h"

#include "core/error.h"

namespace sutura {

Shape::Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) {
  require(dims.size() <= kMaxRank, Errc::kInvalidArgument, "a shape has at most six dimensions");
  std::int64_t product = 1;
  for (const std::int64_t d : dims) {
    require(d >= 0, Errc::kInvalidArgument, "a dimension is negative");
    require(!__builtin_mul_overflow(product, d, &product) && product <= (std::int64_t{1} << 40), Errc::kInvalidArgument,
            "a shape has too many elements");
    dims_[static_cast<std::size_t>(rank_++)] = d;
  }
}

std::int64_t Shape::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t d : dims()) n *= d;
  return n;
}

std::int64_t Shape::row_elements() const {
  std::int64_t n = 1;
  for (int i = 1; i < rank_; ++i) n *= dims_[static_cast<std::size_t>(i)];
  return n;
}

Shape Shape::with_batch(std::int64_t n) const {
  require(rank_ >= 1, Errc::kShapeMismatch, "a rank-0 shape has no batch");
  Shape s = *this;
  s.dims_[0] = n;
  return s;
}

std::string Shape::text() const {
  std::string s = "[";
  for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string((*this)[i]);
  return s + "]";
}

}  // namespace sutura
