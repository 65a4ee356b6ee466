#include "kernels/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "core/error.h"

namespace sutura {

void Tensor::Free::operator()(void* p) const { std::free(p); }

Tensor::Tensor(const Shape& shape, DType dtype) : shape_(shape), dtype_(dtype) {
  constexpr std::size_t kAlign = 64;
  const std::size_t size = std::max<std::size_t>(kAlign, (bytes_size() + kAlign - 1) / kAlign * kAlign);
  owned_.reset(std::aligned_alloc(kAlign, size));
  if (owned_ == nullptr) throw std::bad_alloc();
  data_ = owned_.get();
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
  Tensor t(shape, dtype);
  std::memset(t.data_, 0, t.bytes_size());
  return t;
}

namespace {
template <class T>
Tensor copied(const Shape& shape, DType dtype, std::span<const T> values) {
  Tensor t(shape, dtype);
  require(t.elements() == static_cast<std::int64_t>(values.size()), Errc::kShapeMismatch,
          "shape " + shape.text() + " does not hold " + std::to_string(values.size()) + " values");
  if (!values.empty()) std::memcpy(t.data(), values.data(), values.size_bytes());
  return t;
}
}  // namespace

Tensor Tensor::from(const Shape& shape, std::span<const float> values) { return copied(shape, DType::kFloat32, values); }
Tensor Tensor::from(const Shape& shape, std::span<const std::int32_t> values) { return copied(shape, DType::kInt32, values); }

Tensor Tensor::borrow(void* data, const Shape& shape, DType dtype) {
  Tensor t;
  t.data_ = data;
  t.shape_ = shape;
  t.dtype_ = dtype;
  return t;
}

void Tensor::check_type(DType wanted) const {
  require(data_ != nullptr, Errc::kInvalidArgument, "an empty tensor was read");
  if (wanted != dtype_)
    throw Error(Errc::kInvalidArgument, "a tensor of " + std::string(name(dtype_)) + " was read as " + std::string(name(wanted)));
}

std::span<float> Tensor::f32() {
  require(dtype_ == DType::kFloat32, Errc::kInvalidArgument, "expected a float32 tensor, got " + std::string(name(dtype_)));
  return as<float>();
}
std::span<const float> Tensor::f32() const {
  require(dtype_ == DType::kFloat32, Errc::kInvalidArgument, "expected a float32 tensor, got " + std::string(name(dtype_)));
  return as<float>();
}

Tensor Tensor::clone() const {
  if (!defined()) return {};
  Tensor t(shape_, dtype_);
  std::memcpy(t.data_, data_, bytes_size());
  return t;
}

Tensor Tensor::reshaped(const Shape& shape) && {
  require(shape.elements() == elements(), Errc::kShapeMismatch, "cannot view " + shape_.text() + " as " + shape.text());
  Tensor t = std::move(*this);
  t.shape_ = shape;
  return t;
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t count) const {
  require(shape_.rank() >= 1 && begin >= 0 && count >= 0 && begin <= shape_[0] && count <= shape_[0] - begin, Errc::kShapeMismatch,
          "rows outside " + shape_.text());
  const auto stride = static_cast<std::size_t>(shape_.row_elements()) * size_bytes(dtype_);
  return borrow(static_cast<std::byte*>(data_) + static_cast<std::size_t>(begin) * stride, shape_.with_batch(count), dtype_);
}

Tensor gather_rows(const Tensor& from, std::span<const std::int64_t> index) {
  Tensor out(from.shape().with_batch(static_cast<std::int64_t>(index.size())), from.dtype());
  const auto stride = static_cast<std::size_t>(from.shape().row_elements()) * size_bytes(from.dtype());
  for (std::size_t i = 0; i < index.size(); ++i) {
    require(index[i] >= 0 && index[i] < from.shape()[0], Errc::kShapeMismatch, "a row index lies outside the tensor");
    std::memcpy(out.bytes().data() + i * stride, from.bytes().data() + static_cast<std::size_t>(index[i]) * stride, stride);
  }
  return out;
}

}  // namespace sutura
