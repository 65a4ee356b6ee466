#pragma once
#include "kernels/context.h"
#include "kernels/ops/norm_tail.h"
#include "kernels/tensor.h"

namespace sutura {

/// Batch normalisation in training: statistics of each channel over all records and positions (M values), y = (x -
/// mean[c]) * rstd[c] * gamma[c] + beta[c], rstd = 1 / sqrt(biased variance + eps). Updates, as PyTorch does,
/// running_mean = (1 - momentum) * running_mean + momentum * mean, and running_var likewise with the unbiased variance.
/// Shapes   x, y: [N, ..., C], rank >= 2, one type (float32; onednn and devices also bfloat16); all others [C] float32. Nothing
///          aliases. An empty batch (M = 0) leaves the running statistics alone and writes mean 0, rstd 1 / sqrt(eps).
/// Numbers  Records depend on each other by design. A NaN or infinity makes its channel of y NaN and its running
///          statistics NaN or infinite. reference: sums in double, per record, then a pairwise tree over the records. A device: means and squared
///          deviations of blocks of rows in float32, joined in double; deviations beyond 1e19 overflow.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, eps <= 0, momentum outside [0, 1], M = 1: no variance).
/// Source   Ioffe & Szegedy 2015, "Batch Normalization", algorithm 1.
void batch_norm_forward_train(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd);

/// Batch normalisation in evaluation: y = (x - running_mean[c]) / sqrt(running_var[c] + eps) * gamma[c] + beta[c].
/// Shapes   as batch_norm_forward_train.
/// Numbers  Element by element: records are independent, NaN stays in its element.
/// Errors   as batch_norm_forward_train.
void batch_norm_forward_evaluate(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                 const Tensor& running_mean, const Tensor& running_var, Tensor& y);

/// With h = (x - mean) * rstd: grad_x = gamma * rstd * (grad_y - mean(grad_y) - h * mean(grad_y * h)), means over the M
/// values of the channel; grad_gamma[c] += sum grad_y * h;  grad_beta[c] += sum grad_y. Overwrites grad_x.
/// Shapes   as batch_norm_forward_train (mean and rstd are its outputs). grad_x may alias grad_y.
/// Numbers  Sums as in batch_norm_forward_train, added once.
/// Errors   as batch_norm_forward_train.
void batch_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta);

/// batch_norm_forward_train and what follows it: y = activation(norm + residual), rounded once.
/// Shapes   as batch_norm_forward_train; partials: undefined, or [blocks, 2, C] float32: per block of rows the sums and the sums
///          of squares of x, from the kernel that made x. A backend may take the statistics from them instead of reading x.
/// Numbers  CPU backends compute the plain ops one after another and read x. With partials the variance has a relative error of
///          about 2^-22 (1 + mean^2 / variance).
/// Errors   as batch_norm_forward_train, add and relu_forward.
void batch_norm_forward_train_fused(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma,
                                    const Tensor& beta, Tensor& running_mean, Tensor& running_var, const NormTail& tail,
                                    const Tensor& partials, Tensor& y, Tensor& mean, Tensor& rstd);

/// The same for evaluation. Shapes, errors as batch_norm_forward_evaluate.
void batch_norm_forward_evaluate_fused(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                       const Tensor& running_mean, const Tensor& running_var, const NormTail& tail, Tensor& y);

/// With g = grad_y where y > 0 (all of grad_y without a ReLU): grad_residual = g, and batch_norm_backward of g.
/// Shapes   as batch_norm_backward; tail.y, tail.grad_residual: x's. grad_x and tail.grad_residual may each alias grad_y, not one
///          another.
/// Errors   as batch_norm_backward.
void batch_norm_backward_fused(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                               const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x, Tensor& grad_gamma,
                               Tensor& grad_beta);

}  // namespace sutura
