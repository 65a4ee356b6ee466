#pragma once
#include <cstdint>

#include "kernels/context.h"
#include "kernels/ops/norm_tail.h"
#include "kernels/tensor.h"

namespace sutura {

/// Group normalisation: channels split into `groups` equal runs, each record's group is brought to mean 0 and variance
/// 1 over all its positions, then y = normalised * gamma[c] + beta[c].  rstd = 1 / sqrt(variance + eps), biased
/// variance.
/// Shapes   x, y: [N, ..., C], rank >= 2, one type (float32; onednn and devices also bfloat16); gamma, beta: [C]; mean, rstd:
///          [N, groups]; these four float32. N >= 0, C a multiple of groups. Nothing aliases.
/// Numbers  Each record on its own. A NaN or infinity makes its (record, group) NaN, nothing else. Statistics in double
///          on reference; on a device means and squared deviations in float32, where deviations beyond 1e19 overflow.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, eps <= 0, groups < 1).
/// Source   Wu & He 2018, "Group Normalization", eq. 1 and 7.
void group_norm_forward(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                        Tensor& y, Tensor& mean, Tensor& rstd);

/// With h = (x - mean) * rstd and g = grad_y * gamma: grad_x = rstd * (g - mean(g) - h * mean(g * h)), means over the
/// group of the record; grad_gamma[c] += sum grad_y * h;  grad_beta[c] += sum grad_y. Overwrites grad_x.
/// Shapes   as group_norm_forward; grad_gamma, grad_beta: [C] float32. grad_x may alias grad_y.
/// Numbers  Parameter gradients: one contribution per record, a pairwise tree over the records (reference), added once.
/// Errors   as group_norm_forward.
void group_norm_backward(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                         const Tensor& mean, const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta);

/// group_norm_forward and what follows it: y = activation(norm + residual), rounded once (CPU backends: the plain ops one after
/// another). Shapes, errors as group_norm_forward.
void group_norm_forward_fused(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma,
                              const Tensor& beta, const NormTail& tail, Tensor& y, Tensor& mean, Tensor& rstd);

/// With g = grad_y where y > 0 (all of grad_y without a ReLU): grad_residual = g, and group_norm_backward of g.
/// Shapes   as group_norm_backward; tail.y, tail.grad_residual: x's. grad_x and tail.grad_residual may each alias grad_y, not one
///          another.
/// Errors   as group_norm_backward.
void group_norm_backward_fused(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                               const Tensor& mean, const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x,
                               Tensor& grad_gamma, Tensor& grad_beta);

}  // namespace sutura
