#pragma once
#include <span>
#include <string_view>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Argument checks of one public op. Every message opens with the op's name and holds shapes and types, never values.
class OpCheck {
 public:
  OpCheck(const Context& ctx, std::string_view op) : ctx_(ctx), op_(op) {}

  /// Defined, of exactly this type, and where the context computes. Errors: kInvalidArgument; kInternal for the wrong memory.
  void type(std::string_view what, const Tensor& t, DType dtype) const;
  /// Defined, and float32 or, on backends that compute in it, bfloat16. Errors: kInvalidArgument.
  void activation(std::string_view what, const Tensor& t) const;
  /// As activation(), and of the type of `like`.
  void activation_like(std::string_view what, const Tensor& t, const Tensor& like) const;
  /// Errors: kShapeMismatch with both shapes.
  void shape(std::string_view what, const Tensor& t, const Shape& expected) const;
  /// Rank within [least, most] and every dimension from `first_positive` on at least 1. Errors: kShapeMismatch.
  void rank(std::string_view what, const Tensor& t, int least, int most, int first_positive = 1) const;
  /// type() float32 and shape().
  void f32(std::string_view what, const Tensor& t, const Shape& expected) const;
  /// A setting outside its domain. Errors: kInvalidArgument.
  void setting(bool good, std::string_view rule) const;

 private:
  const Context& ctx_;
  std::string_view op_;
};

/// The last dimension: channels or features.
std::int64_t last_dimension(const Shape& s);

}  // namespace sutura
