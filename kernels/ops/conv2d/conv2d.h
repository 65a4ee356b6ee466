#pragma once
#include <cstdint>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Window geometry of a two-dimensional convolution; a 1-D signal has H = 1, kernel_h = 1.
struct Conv2dSpec {
  std::int64_t kernel_h = 1, kernel_w = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;  ///< zeros on both sides
  /// [N, P, Q, filters] with P = (H + 2 pad_h - kernel_h) / stride_h + 1, rounded down. Errors: kShapeMismatch if x is
  /// not [N, H, W, C] with H, W, C >= 1 or the window does not fit; kInvalidArgument for kernels or strides below 1,
  /// pads outside [0, kernel), filters below 1.
  Shape output_shape(const Shape& x, std::int64_t filters) const;
};

/// Cross-correlation: y[n,p,q,k] = sum_{r,s,c} x[n, p*stride_h - pad_h + r, q*stride_w - pad_w + s, c] *
/// weight[k,r,s,c] + bias[k], with x = 0 outside the image.
/// Shapes   x: [N, H, W, C]; weight: [K, R, S, C] float32; bias: [K] float32 or undefined (none); y: [N, P, Q, K] of
///          x's type. x and y are float32; on onednn and devices also bfloat16 (sums in float32). N >= 0. Nothing aliases.
/// Numbers  A record's output never depends on the other records of the batch. NaN in x reaches the outputs whose
///          window covers it. A non-finite weight may also make outputs at the border NaN (0 * inf in the padding).
///          reference: sequential over (r, s, c) in blocks of 128, bias last; the same bits on every x86-64. native: sums in
///          float32 in one order of (r, s, c); operands rounded to tf32 where the context says so, weights to bfloat16 if x is.
/// Errors   kShapeMismatch, kInvalidArgument.
void conv2d_forward(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);

/// grad_x[n,h,w,c] = sum over the windows that cover (h, w) of grad_y[n,p,q,k] * weight[k,r,s,c]; overwrites grad_x.
/// Shapes   as conv2d_forward. Errors as conv2d_forward.
void conv2d_backward_data(Context& ctx, const Conv2dSpec& spec, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x);

/// grad_weight[k,r,s,c] += sum_{n,p,q} grad_y[n,p,q,k] * x[n, ...window..., c];  grad_bias[k] += sum_{n,p,q}
/// grad_y[n,p,q,k].
/// Shapes   as conv2d_forward; grad_weight: [K, R, S, C], grad_bias: [K] or undefined, both float32.
/// Numbers  The sum over the records is complete (reference: one contribution per record, then a pairwise tree by
///          record index; native: slices of all positions that follow from the shapes and the device, in order) before it is
///          added once.
/// Errors   as conv2d_forward.
void conv2d_backward_weights(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight,
                             Tensor& grad_bias);

}  // namespace sutura
