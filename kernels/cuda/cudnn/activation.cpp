#include <limits>

#include "kernels/cuda/cudnn/operands.h"
#include "kernels/cuda/cudnn/ops.h"

namespace sutura::cudnn {
namespace {

using ActivationDescriptor =
    Descriptor<cudnnActivationDescriptor_t, cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor>;

/// One flat row: the ops are element by element.
struct Flat {
  Flat(const Tensor& t, cudnnActivationMode_t mode) {
    // The last number is a ceiling. The header knows it for the clipped ReLU alone, the documentation for the plain one too. The
    // largest double is the default of the library's pointwise ReLU: no ceiling, an infinity passes. Infinities are among the
    // special values that the op tests take to the device.
    check(cudnnSetActivationDescriptor(activation, mode, CUDNN_PROPAGATE_NAN, std::numeric_limits<double>::max()),
          "an activation");
    check(cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NCHW, type_of(t.dtype()), 1, 1, 1, static_cast<int>(t.elements())),
          "the description of a tensor");
  }
  ActivationDescriptor activation;
  TensorDescriptor tensor;
};

bool forward(Context& ctx, cudnnActivationMode_t mode, const char* name, const Tensor& x, Tensor& y) {
  if (!fits(x.shape())) return false;
  const Flat flat(x, mode);
  const Tensor from = readable(ctx, x);
  Writable to(ctx, y, Writable::Old::kOverwritten);
  if (!served(cudnnActivationForward(Handles::of(ctx).dnn, flat.activation, &kOne, flat.tensor, from.data(), &kZero, flat.tensor,
                                     to.data()),
              name))
    return false;
  to.finish(ctx);
  return true;
}

}  // namespace

bool relu_forward(Context& ctx, const Tensor& x, Tensor& y) { return forward(ctx, CUDNN_ACTIVATION_RELU, "relu_forward", x, y); }

bool sigmoid_forward(Context& ctx, const Tensor& x, Tensor& y) {
  return forward(ctx, CUDNN_ACTIVATION_SIGMOID, "sigmoid_forward", x, y);
}

bool sigmoid_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x) {
  if (!fits(y.shape())) return false;
  const Flat flat(y, CUDNN_ACTIVATION_SIGMOID);
  const Tensor out = readable(ctx, y), incoming = readable(ctx, grad_y);
  Writable to(ctx, grad_x, Writable::Old::kOverwritten);
  // The slope of a sigmoid is a function of y alone; the library's parameter for x gets y too.
  if (!served(cudnnActivationBackward(Handles::of(ctx).dnn, flat.activation, &kOne, flat.tensor, out.data(), flat.tensor,
                                      incoming.data(), flat.tensor, out.data(), &kZero, flat.tensor, to.data()),
              "sigmoid_backward"))
    return false;
  to.finish(ctx);
  return true;
}

}  // namespace sutura::cudnn
