#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Layer normalisation over the last dimension: y = (x - mean) * rstd * gamma[c] + beta[c], rstd = 1 / sqrt(variance +
/// eps), biased variance.
/// Shapes   x, y: [..., C], rank >= 1, one type (float32; onednn and devices also bfloat16); gamma, beta: [C]; mean, rstd:
///          [rows] with rows = elements / C; these four float32. C >= 1. Nothing aliases.
/// Numbers  Each row on its own. A NaN or infinity makes its row NaN, nothing else. Statistics in double on reference.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, eps <= 0).
/// Source   Ba, Kiros & Hinton 2016, "Layer Normalization", eq. 3.
void layer_norm_forward(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                        Tensor& mean, Tensor& rstd);

/// With h = (x - mean) * rstd and g = grad_y * gamma: grad_x = rstd * (g - mean(g) - h * mean(g * h)) over the row;
/// grad_gamma[c] += sum_rows grad_y * h;  grad_beta[c] += sum_rows grad_y. Overwrites grad_x.
/// Shapes   as layer_norm_forward; grad_gamma, grad_beta: [C] float32. grad_x may alias grad_y.
/// Numbers  Parameter gradients: a pairwise tree over the rows (reference), added once.
/// Errors   as layer_norm_forward.
void layer_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta);

}  // namespace sutura
