#include "kernels/cuda/cudnn/operands.h"
#include "kernels/cuda/cudnn/ops.h"

namespace sutura::cudnn {
namespace {

// Not the persistent mode: it limits the range of values.
constexpr cudnnBatchNormMode_t kMode = CUDNN_BATCHNORM_SPATIAL;

/// The statistics and parameters are float32 whatever the images are: said here, not derived by the library from the images,
/// since a narrower type would be read from our float32 memory without a complaint.
struct Described {
  explicit Described(const Tensor& x) {
    describe(image, x.shape(), x.dtype());
    describe_channels(channels, x.shape()[x.shape().rank() - 1], DType::kFloat32);
  }
  TensorDescriptor image, channels;
};

}  // namespace

bool batch_norm_forward_train(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  if (!fits(x.shape())) return false;
  const Described d(x);
  const Tensor from = readable(ctx, x), scale = readable(ctx, gamma), shift = readable(ctx, beta);
  Writable running_m(ctx, running_mean, Writable::Old::kNeeded), running_v(ctx, running_var, Writable::Old::kNeeded);
  Writable to(ctx, y, Writable::Old::kOverwritten), m(ctx, mean, Writable::Old::kOverwritten),
      r(ctx, rstd, Writable::Old::kOverwritten);
  if (!served(cudnnBatchNormalizationForwardTraining(Handles::of(ctx).dnn, kMode, &kOne, &kZero, d.image, from.data(), d.image,
                                                     to.data(), d.channels, scale.data(), shift.data(), momentum,
                                                     running_m.data(), running_v.data(), eps, m.data(), r.data()),
              "batch_norm_forward_train"))
    return false;
  for (Writable* w : {&running_m, &running_v, &to, &m, &r}) w->finish(ctx);
  return true;
}

bool batch_norm_forward_evaluate(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                 const Tensor& running_mean, const Tensor& running_var, Tensor& y) {
  if (!fits(x.shape())) return false;
  const Described d(x);
  const Tensor from = readable(ctx, x), scale = readable(ctx, gamma), shift = readable(ctx, beta);
  const Tensor m = readable(ctx, running_mean), v = readable(ctx, running_var);
  Writable to(ctx, y, Writable::Old::kOverwritten);
  if (!served(cudnnBatchNormalizationForwardInference(Handles::of(ctx).dnn, kMode, &kOne, &kZero, d.image, from.data(), d.image,
                                                      to.data(), d.channels, scale.data(), shift.data(), m.data(), v.data(), eps),
              "batch_norm_forward_evaluate"))
    return false;
  to.finish(ctx);
  return true;
}

bool batch_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  if (!fits(x.shape())) return false;
  const Described d(x);
  const Tensor from = readable(ctx, x), scale = readable(ctx, gamma), m = readable(ctx, mean), r = readable(ctx, rstd);
  // grad_x may be grad_y, which the library does not promise to bear.
  const Tensor incoming = grad_x.data() == grad_y.data() ? ctx.clone(grad_y) : readable(ctx, grad_y);
  Writable to(ctx, grad_x, Writable::Old::kOverwritten);
  Writable to_gamma(ctx, grad_gamma, Writable::Old::kNeeded), to_beta(ctx, grad_beta, Writable::Old::kNeeded);
  // The library takes an eps only to repeat the statistics, which it is given here; it must not lie below its minimum.
  constexpr double kUnused = 1e-5;
  if (!served(cudnnBatchNormalizationBackward(Handles::of(ctx).dnn, kMode, &kOne, &kZero, &kOne, &kOne, d.image, from.data(),
                                              d.image, incoming.data(), d.image, to.data(), d.channels, scale.data(),
                                              to_gamma.data(), to_beta.data(), kUnused, m.data(), r.data()),
              "batch_norm_backward"))
    return false;
  for (Writable* w : {&to, &to_gamma, &to_beta}) w->finish(ctx);
  return true;
}

}  // namespace sutura::cudnn
