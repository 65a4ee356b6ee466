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

class DeviceStream;

/// Dense contiguous array on one device. Owns its memory or borrows another's (borrow()); move-only, clone() to copy.
/// Images are [N, H, W, C] (1-D signals have H = 1), rows are [N, D]. Memory is 64-byte aligned when owned.
/// Values of a device's tensor are reached through Context::host() and Context::copy(); reading them here is refused.
class Tensor {
 public:
  enum class Place : std::uint8_t { kHost, kDevice };
  Tensor() = default;  ///< empty: defined() is false
  /// Uninitialised values.
  explicit Tensor(const Shape& shape, DType dtype = DType::kFloat32);
  static Tensor zeros(const Shape& shape, DType dtype = DType::kFloat32);
  static Tensor from(const Shape& shape, std::span<const float> values);
  static Tensor from(const Shape& shape, std::span<const std::int32_t> values);
  /// A view on memory that outlives it.
  static Tensor borrow(void* data, const Shape& shape, DType dtype = DType::kFloat32);
  static Tensor borrow(const Tensor& other);
  /// Uninitialised memory of a device, and host memory that the device's copies reach. Context makes them.
  static Tensor on_device(std::shared_ptr<DeviceStream> stream, const Shape& shape, DType dtype);
  static Tensor pinned(std::shared_ptr<DeviceStream> stream, const Shape& shape, DType dtype);
  /// The values of `other` from element `offset` on, under `shape`, wherever they lie.
  static Tensor part(const Tensor& other, std::int64_t offset, const Shape& shape);
  /// The bytes of `other` from `offset_bytes` on as another type: for memory that holds several tensors.
  static Tensor carve(const Tensor& other, std::size_t offset_bytes, const Shape& shape, DType dtype);
  /// The source is empty afterwards.
  Tensor(Tensor&& other) noexcept
      : stream_(std::move(other.stream_)),
        owned_(std::move(other.owned_)),
        data_(std::exchange(other.data_, nullptr)),
        shape_(other.shape_),
        dtype_(other.dtype_),
        place_(other.place_),
        half_(std::exchange(other.half_, nullptr)) {}
  Tensor& operator=(Tensor&& other) noexcept {
    owned_ = std::move(other.owned_);  // before its stream goes
    stream_ = std::move(other.stream_);
    data_ = std::exchange(other.data_, nullptr);
    shape_ = other.shape_;
    dtype_ = other.dtype_;
    place_ = other.place_;
    half_ = std::exchange(other.half_, nullptr);
    return *this;
  }

  bool defined() const { return data_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Place place() const { return place_; }
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
  ByteSpan bytes() const;
  std::span<std::byte> bytes();

  /// A bfloat16 copy of these float32 values that whoever owns them keeps up to date, in the same order, 16-byte aligned; nullptr:
  /// none. Borrowed views of the whole tensor hand it on.
  const bf16* half() const { return half_; }
  bf16* half() { return half_; }
  void set_half(bf16* copy) { half_ = copy; }

  Tensor clone() const;  ///< of a host tensor; Context::clone() for any
  /// The values into host memory of the same shape and type, after waiting for the work that makes them.
  void copy_to(Tensor& host) const;
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
  void check_host() const;
  struct Free {
    enum class Kind : std::uint8_t { kHost, kPinned, kDevice };
    Free() noexcept : kind(Kind::kHost), stream(nullptr) {}
    Free(Kind k, DeviceStream* s) noexcept : kind(k), stream(s) {}
    Kind kind;
    DeviceStream* stream;
    void operator()(void* p) const;
  };
  std::shared_ptr<DeviceStream> stream_;  // shared: the memory is its stream's, and may be used longer than a Context
  std::unique_ptr<void, Free> owned_;
  void* data_ = nullptr;
  Shape shape_;
  DType dtype_ = DType::kFloat32;
  Place place_ = Place::kHost;
  bf16* half_ = nullptr;
};

/// The rows `index` of `from` ([N, ...]) in that order, as a new tensor.
Tensor gather_rows(const Tensor& from, std::span<const std::int64_t> index);

}  // namespace sutura
