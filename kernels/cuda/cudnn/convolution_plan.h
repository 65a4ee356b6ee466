#pragma once
#include "kernels/cuda/cudnn/operands.h"
#include "kernels/ops/conv2d/conv2d.h"

namespace sutura::cudnn {

using FilterDescriptor = Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor =
    Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;

enum class Direction : std::uint8_t { kForward, kBackwardData, kBackwardWeights };

/// One convolution as the library sees it, and the algorithm chosen for it. `x`, `weight` and `y` share one element type; in the
/// backward directions they are the gradients of the same shapes.
struct ConvolutionPlan {
  TensorDescriptor x, y;
  FilterDescriptor weight;
  ConvolutionDescriptor convolution;
  bool served = false;  ///< false: nothing the library has is taken; our own kernels compute it
  int algorithm = 0;    ///< of the direction's own enumeration
  std::size_t workspace_bytes = 0;
};

/// The plan for these shapes, made at the first call. An algorithm is taken if it is deterministic (the same bits at every call),
/// sums the products of the operands themselves (no Winograd or Fourier transform: their rounding is not that of a sum of
/// products, which the tolerances are derived from), rounds no operand beyond what the context allows, and needs at most
/// kMostWorkspaceBytes.
const ConvolutionPlan& convolution_plan(Context& ctx, Direction direction, const Conv2dSpec& spec, const Shape& x,
                                        const Shape& weight, const Shape& y, DType type);

}  // namespace sutura::cudnn
