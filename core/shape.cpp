#include "core/shape.h"

#include "core/error.h"

namespace sutura {
namespace {

std::int64_t bounded_product(std::span<const std::int64_t> dims) {
  std::int64_t product = 1;
  for (const std::int64_t d : dims) {
    require(!__builtin_mul_overflow(product, d, &product) && product <= (std::int64_t{1} << 40), Errc::kInvalidArgument,
            "a shape has too many elements");
  }
  return product;
}

}  // namespace

Shape::Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span<const std::int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) {
  require(dims.size() <= kMaxRank, Errc::kInvalidArgument, "a shape has at most six dimensions");
  for (const std::int64_t d : dims) {
    require(d >= 0, Errc::kInvalidArgument, "a dimension is negative");
    dims_[static_cast<std::size_t>(rank_++)] = d;
  }
  bounded_product(dims);
}

std::int64_t Shape::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t d : dims()) n *= d;
  return n;
}

std::int64_t Shape::row_elements() const { return rank_ == 0 ? 1 : bounded_product(dims().subspan(1)); }

Shape Shape::with_batch(std::int64_t n) const {
  require(rank_ >= 1, Errc::kShapeMismatch, "a rank-0 shape has no batch");
  std::array<std::int64_t, kMaxRank> dims = dims_;
  dims[0] = n;
  return Shape(std::span<const std::int64_t>(dims).first(static_cast<std::size_t>(rank_)));
}

std::string Shape::text() const {
  std::string s = "[";
  for (int i = 0; i < rank_; ++i) s += (i ? ", " : "") + std::to_string((*this)[i]);
  return s + "]";
}

}  // namespace sutura
