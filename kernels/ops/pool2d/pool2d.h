#pragma once
#include <cstdint>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Window geometry of a pooling; a 1-D signal has H = 1, kernel_h = 1.
struct Pool2dSpec {
  std::int64_t kernel_h = 1, kernel_w = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;
  /// [N, P, Q, C] with P = (H + 2 pad_h - kernel_h) / stride_h + 1, rounded down. Errors: kShapeMismatch if x is not
  /// [N, H, W, C] with H, W, C >= 1 or the window does not fit; kInvalidArgument for kernels or strides below 1, pads
  /// below 0 or above kernel / 2 (a window must touch the image).
  Shape output_shape(const Shape& x) const;
};

/// y = the largest value of each window; index = its place, h * W + w in the image, the lowest place on ties.
/// Shapes   x: [N, H, W, C] and y: [N, P, Q, C] of one type (float32; onednn and devices also bfloat16); index: int32, y's
///          shape. The padding never wins. Nothing aliases.
/// Numbers  NaN wins (the first NaN of the window in row order).
/// Errors   kShapeMismatch, kInvalidArgument.
void max_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y, Tensor& index);

/// grad_x[n, index, c] = sum of grad_y over the windows it won, in window order; zero elsewhere. Overwrites grad_x.
/// Shapes   as max_pool_forward.
/// Errors   as max_pool_forward; kInvalidArgument for an index outside the image (a
///          device does not look: such a window reaches no pixel).
void max_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& index, const Tensor& grad_y, Tensor& grad_x);

/// y = window sum / (kernel_h * kernel_w): the padding counts as zeros (PyTorch's count_include_pad).
/// Shapes   x: [N, H, W, C] and y: [N, P, Q, C] of one type (float32; onednn and devices also bfloat16). Nothing aliases.
/// Numbers  NaN reaches the windows that cover it.
/// Errors   kShapeMismatch, kInvalidArgument.
void avg_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y);
/// grad_x = sum of grad_y / (kernel_h * kernel_w) over the covering windows; overwrites grad_x.  Errors as
/// avg_pool_forward.
void avg_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& grad_y, Tensor& grad_x);

/// y[n,c] = mean over all positions of x[n,h,w,c].
/// Shapes   x: [N, H, W, C], y: [N, C], one type (float32; onednn and devices also bfloat16). H, W, C >= 1.
/// Errors   kShapeMismatch, kInvalidArgument.
void global_avg_pool_forward(Context& ctx, const Tensor& x, Tensor& y);
/// grad_x[n,h,w,c] = grad_y[n,c] / (H * W); overwrites grad_x.  Errors as global_avg_pool_forward.
void global_avg_pool_backward(Context& ctx, const Tensor& grad_y, Tensor& grad_x);

}  // namespace sutura
