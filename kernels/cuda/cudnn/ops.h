#pragma once
#include "kernels/device_ops.h"

/// What the libraries serve, behind the contracts of kernels/ops. Not here, because the library has no function with the
/// contract: group and layer normalisation, pooling by maximum (the library keeps no index of the maximum), global pooling, the
/// gradient of ReLU (what the library makes of a NaN in y is not stated), GELU, dropout, losses, optimizers. The list is the order
/// of the report too (tally.h).
#define SUTURA_CUDNN_OPS(X)      \
  X(conv2d_forward)              \
  X(conv2d_backward_data)        \
  X(conv2d_backward_weights)     \
  X(linear_forward)              \
  X(linear_backward_data)        \
  X(linear_backward_weights)     \
  X(batch_norm_forward_train)    \
  X(batch_norm_forward_evaluate) \
  X(batch_norm_backward) X(avg_pool_forward) X(avg_pool_backward) X(relu_forward) X(sigmoid_forward) X(sigmoid_backward)

namespace sutura::cudnn {

template <class Op>
struct AnswerOf;
template <class... A>
struct AnswerOf<void(A...)> {
  using Function = bool(A...);
};

/// Each takes the arguments of the op. True: the libraries compute it. False: they do not, and our own kernel has to compute all
/// of it: nothing was added yet to what the op adds to, though what it overwrites may have been written.
/// In bfloat16 a convolution's finished sums are rounded to bfloat16, and the bias, rounded too, is added to them; the sums of
/// the weights' gradient are rounded to bfloat16 before they are added to the float32 gradient.
#define SUTURA_DECLARE(op) AnswerOf<decltype(reference::op)>::Function op;
SUTURA_CUDNN_OPS(SUTURA_DECLARE)
#undef SUTURA_DECLARE

/// The sum of grad_y [N, ..., C] over everything but the channels, float32 [C]; an undefined tensor where the library does not
/// serve it.
Tensor channel_sums(Context& ctx, const Tensor& grad_y);

}  // namespace sutura::cudnn
