#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include "core/bytes.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace sutura {

/// Dense contiguous array. Owns its memory or borrows another's (borrow()); move-only, clone() to copy.
/// Images are [N, H, W, C] (1-D signals have H = 1), rows are [N, D]. Memory is 64-byte aligned when owned.
class Tensor {
 public:
  Tensor() = default;  ///< empty: defined() is false
  /// Uninitialised values.
  explicit Tensor(const Shape& shape, DType dtype = DType::kFloat32);
  static Tensor zeros(const Shape& shape, DType dtype = DType::kFloat32);
  static Tensor from(const Shape& shape, std::span<const float> values);
  static Tensor from(const Shape& shape, std::span<const std::int32_t> values);
  /// A view on memory that outlives it.
  static Tensor borrow(void* data, const Shape& shape, DType dtype = DType::kFloat32);
  static Tensor borrow(const Tensor& other) { return borrow(other.data_, other.shape_, other.dtype_); }
  /// The source is empty afterwards.
  Tensor(Tensor&& other) noexcept
      : owned_(std::move(other.owned_)), data_(std::exchange(other.data_, nullptr)), shape_(other.shape_), dtype_(other.dtype_) {}
  Tensor& operator=(Tensor&& other) noexcept {
    owned_ = std::move(other.owned_);
    data_ = std::exchange(other.data_, nullptr);
    shape_ = other.shape_;
    dtype_ = other.dtype_;
    return *this;
  }

  bool defined() const { return data_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  std::int64_t elements() const { return shape_.elements(); }
  std::size_t bytes_size() const { return static_cast<std::size_t>(elements()) * size_bytes(dtype_); }
  void* data() { return data_; }
  const void* data() const { return data_; }
  /// Typed access. Errors: kInvalidArgument if T is not the element type.
  template <class T>
  std::span<T> as() {
    check_type(dtype_of<T>());
    return {static_cast<T*>(data_), static_cast<std::size_t>(elements())};
  }
  template <class T>
  std::span<const T> as() const {
    check_type(dtype_of<T>());
    return {static_cast<const T*>(data_), static_cast<std::size_t>(elements())};
  }
  std::span<float> f32();
  std::span<const float> f32() const;
  ByteSpan bytes() const { return {static_cast<const std::byte*>(data_), bytes_size()}; }
  std::span<std::byte> bytes() { return {static_cast<std::byte*>(data_), bytes_size()}; }

  Tensor clone() const;
  /// The same values under another shape of equal size; consumes this tensor.
  Tensor reshaped(const Shape& shape) &&;
  /// View of records [begin, begin + count) along the first dimension.
  Tensor rows(std::int64_t begin, std::int64_t count) const;

 private:
  template <class T>
  static constexpr DType dtype_of() {
    if constexpr (std::is_same_v<T, float>) return DType::kFloat32;
    if constexpr (std::is_same_v<T, bf16>) return DType::kBfloat16;
    if constexpr (std::is_same_v<T, std::int8_t>) return DType::kInt8;
    if constexpr (std::is_same_v<T, std::int16_t>) return DType::kInt16;
    if constexpr (std::is_same_v<T, std::int32_t>) return DType::kInt32;
    if constexpr (std::is_same_v<T, std::uint8_t>) return DType::kUint8;
    if constexpr (std::is_same_v<T, double>) return DType::kFloat64;
  }
  void check_type(DType wanted) const;
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> owned_;
  void* data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::kFloat32;
};

/// The rows `index` of `from` ([N, ...]) in that order, as a new tensor.
Tensor gather_rows(const Tensor& from, std::span<const std::int64_t> index);

}  // namespace sutura
