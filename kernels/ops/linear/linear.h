#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// y[n,o] = sum_i x[n,i] * weight[o,i] + bias[o].
/// Shapes   x: [N, I]; weight: [O, I] float32; bias: [O] float32 or undefined (none); y: [N, O] of x's type. N >= 0; I,
///          O >= 1. x and y are float32; on onednn and devices also bfloat16 (sums in float32). Nothing aliases.
/// Numbers  A record's row never depends on the other records of the batch. NaN in x reaches that row only. reference:
///          sequential over i in blocks of 128, bias last; the same bits on every x86-64. native: sums in float32 in one order of
///          i; operands rounded to tf32 where the context says so, weights to bfloat16 where x is.
/// Errors   kShapeMismatch, kInvalidArgument (type, undefined).
void linear_forward(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);

/// grad_x[n,i] = sum_o grad_y[n,o] * weight[o,i]; overwrites grad_x.
/// Shapes   as linear_forward. Errors as linear_forward.
void linear_backward_data(Context& ctx, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x);

/// grad_weight[o,i] += sum_n grad_y[n,o] * x[n,i];  grad_bias[o] += sum_n grad_y[n,o].
/// Shapes   as linear_forward; grad_weight: [O, I], grad_bias: [O] or undefined, both float32.
/// Numbers  The sum over the records is complete (reference: one pairwise tree by record index; native: slices of the records
///          that follow from the shapes and the device, in order) before it is added once.
/// Errors   as linear_forward.
void linear_backward_weights(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias);

}  // namespace sutura
