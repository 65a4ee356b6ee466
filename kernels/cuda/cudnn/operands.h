#pragma once
#include <cudnn.h>

#include <cstdint>

#include "kernels/cuda/cudnn/handles.h"
#include "kernels/device_ops.h"

namespace sutura::cudnn {

/// A descriptor of the library and its life.
template <class D, auto Create, auto Destroy>
class Descriptor {
 public:
  Descriptor() { check(Create(&handle_), "a descriptor"); }
  ~Descriptor() { Destroy(handle_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator D() const { return handle_; }  // NOLINT: what the library's functions take

 private:
  D handle_ = nullptr;
};
using TensorDescriptor = Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;

/// The scaling factors that the library takes by address.
inline constexpr float kOne = 1.0f, kZero = 0.0f;

inline cudnnDataType_t type_of(DType t) { return t == DType::kBfloat16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }

/// True where the library's 32-bit sizes hold the tensor.
inline bool fits(const Shape& s) { return s.elements() < (std::int64_t{1} << 31); }

/// Images [N, H, W, C]; any other shape [N, ..., C] as images of one row, or as the library sees no difference.
inline void describe(const TensorDescriptor& d, const Shape& s, DType type) {
  const auto c = static_cast<int>(s[s.rank() - 1]);
  const bool image = s.rank() == 4;
  const auto n = static_cast<int>(s[0]);
  const auto h = image ? static_cast<int>(s[1]) : 1;
  const auto w = image ? static_cast<int>(s[2]) : static_cast<int>(s.elements() / (std::int64_t{n} * c));
  check(cudnnSetTensor4dDescriptor(d, CUDNN_TENSOR_NHWC, type_of(type), n, c, h, w), "the description of a tensor");
}
/// One value per channel, with the strides that the library itself derives for them beside images of either layout.
inline void describe_channels(const TensorDescriptor& d, std::int64_t channels, DType type) {
  check(cudnnSetTensor4dDescriptor(d, CUDNN_TENSOR_NCHW, type_of(type), 1, static_cast<int>(channels), 1, 1),
        "the description of a tensor");
}

/// The libraries read and write 16 bytes at a time. A view that begins elsewhere (a parameter in the middle of a flat buffer) is
/// handed to them as a copy.
inline bool aligned(const Tensor& t) { return reinterpret_cast<std::uintptr_t>(t.data()) % 16 == 0; }
inline Tensor readable(const Context& ctx, const Tensor& t) { return aligned(t) ? Tensor::borrow(t) : ctx.clone(t); }
/// `t` as `type`, aligned: itself, the copy in bfloat16 that its owner keeps, or one made here.
inline Tensor readable_as(Context& ctx, const Tensor& t, DType type) {
  if (t.dtype() == type) return readable(ctx, t);
  if (type == DType::kBfloat16 && t.half() != nullptr) {
    Tensor half = Tensor::borrow(const_cast<bf16*>(t.half()), t.shape(), type);
    return half;
  }
  Tensor cast = ctx.tensor(t.shape(), type);
  own().cast(ctx, t, cast);
  return cast;
}
/// Somewhere aligned to read from and write to; finish() puts the values where they belong.
class Writable {
 public:
  enum class Old { kNeeded, kOverwritten };
  Writable(const Context& ctx, Tensor& t, Old old) : target_(t) {
    if (!aligned(t)) copy_ = old == Old::kNeeded ? ctx.clone(t) : ctx.tensor(t.shape(), t.dtype());
  }
  void* data() { return copy_.defined() ? copy_.data() : target_.data(); }
  void finish(const Context& ctx) {
    if (copy_.defined()) ctx.copy(copy_, target_);
  }

 private:
  Tensor& target_;
  Tensor copy_;
};

}  // namespace sutura::cudnn
