#include "kernels/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "core/error.h"
#include "kernels/device_stream.h"

namespace sutura {

void Tensor::Free::operator()(void* p) const {
  switch (kind) {
    case Kind::kHost: return std::free(p);
    case Kind::kPinned: return stream->give_pinned(p);
    case Kind::kDevice: return stream->give(p);
  }
}

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

Tensor Tensor::borrow(const Tensor& other) {
  Tensor t = part(other, 0, other.shape_);
  t.half_ = other.half_;
  return t;
}

Tensor Tensor::part(const Tensor& other, std::int64_t offset, const Shape& shape) {
  return carve(other, static_cast<std::size_t>(offset) * size_bytes(other.dtype_), shape, other.dtype_);
}

Tensor Tensor::carve(const Tensor& other, std::size_t offset_bytes, const Shape& shape, DType dtype) {
  Tensor t;
  t.stream_ = other.stream_;
  t.data_ = other.data_ == nullptr ? nullptr : static_cast<std::byte*>(other.data_) + offset_bytes;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.place_ = other.place_;
  return t;
}

Tensor Tensor::on_device(std::shared_ptr<DeviceStream> stream, const Shape& shape, DType dtype) {
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.place_ = Place::kDevice;
  t.stream_ = std::move(stream);
  t.owned_ = std::unique_ptr<void, Free>(t.stream_->take(t.bytes_size()), Free(Free::Kind::kDevice, t.stream_.get()));
  t.data_ = t.owned_.get();
  return t;
}

Tensor Tensor::pinned(std::shared_ptr<DeviceStream> stream, const Shape& shape, DType dtype) {
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.stream_ = std::move(stream);
  t.owned_ = std::unique_ptr<void, Free>(t.stream_->take_pinned(t.bytes_size()), Free(Free::Kind::kPinned, t.stream_.get()));
  t.data_ = t.owned_.get();
  return t;
}

void Tensor::check_host() const {
  require(place_ == Place::kHost, Errc::kInternal, "values in a device's memory were used on the host");
}
ByteSpan Tensor::bytes() const {
  check_host();
  return {static_cast<const std::byte*>(data_), bytes_size()};
}
std::span<std::byte> Tensor::bytes() {
  check_host();
  return {static_cast<std::byte*>(data_), bytes_size()};
}

void Tensor::check_type(DType wanted) const {
  require(data_ != nullptr, Errc::kInvalidArgument, "an empty tensor was read");
  check_host();
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
  check_host();
  Tensor t(shape_, dtype_);
  std::memcpy(t.data_, data_, bytes_size());
  return t;
}

void Tensor::copy_to(Tensor& host) const {
  require(host.place_ == Place::kHost && host.shape_ == shape_ && host.dtype_ == dtype_, Errc::kInternal,
          "values are copied into host memory of their own shape and type");
  if (place_ == Place::kHost) {
    std::memcpy(host.data_, data_, bytes_size());
    return;
  }
  stream_->note_host_access();
  stream_->runtime().copy_to_host(stream_->stream(), host.data_, data_, bytes_size());
  stream_->synchronise();
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
  return part(*this, begin * shape_.row_elements(), shape_.with_batch(count));
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
