#pragma once
#include <cstdint>
#include <string_view>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Names one draw of a dropout mask: (study seed, layer, occasion).
struct DropoutKey {
  std::uint64_t seed;
  std::string_view stream;
  std::uint64_t index;
};

/// mask = 1 with probability 1 - rate, else 0;  y = x / (1 - rate) where the mask is 1, exactly 0 elsewhere (NaN
/// included).
/// Shapes   x, y: any equal shape and type (float32; onednn and devices also bfloat16); mask: the same shape, uint8. y may alias
///          x.
/// Numbers  The mask is a pure function of the key and the element's index (PhiloxStream), the same on every backend.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, rate outside [0, 1)).
/// Source   Srivastava et al. 2014, "Dropout", section 10 (inverted scaling).
void dropout_forward(Context& ctx, float rate, const DropoutKey& key, const Tensor& x, Tensor& y, Tensor& mask);

/// What the mask of a key is drawn from: [4] int32 on the host, the words of its PhiloxStream.
Tensor dropout_words(const DropoutKey& key);
/// dropout_forward with words that already lie where the context computes: recorded work (a CUDA graph) reads them anew at every
/// replay, so whoever owns the tensor gives each step its own mask by writing the words of the step's key there.
/// Shapes   as above; words: [4] int32. Errors as above.
void dropout_forward(Context& ctx, float rate, const Tensor& words, const Tensor& x, Tensor& y, Tensor& mask);

/// grad_x = grad_y / (1 - rate) where the mask is 1, exactly 0 elsewhere; overwrites grad_x.
/// Shapes   as dropout_forward. grad_x may alias grad_y. Errors as dropout_forward.
void dropout_backward(Context& ctx, float rate, const Tensor& mask, const Tensor& grad_y, Tensor& grad_x);

}  // namespace sutura
