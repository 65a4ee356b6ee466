#include "kernels/ops/clip_gradients/clip_gradients.h"

#include <cmath>

#include "kernels/ops/checks.h"
#include "kernels/ops/clip_gradients/clip_gradients_impl.h"
#include "kernels/ops/dispatch.h"

namespace sutura {

double clip_gradients(Context& ctx, double max_norm, Tensor& grads) {
  const OpCheck check(ctx, "clip_gradients");
  check.setting(max_norm > 0.0 && std::isfinite(max_norm), "max_norm must be positive and finite");
  check.type("grads", grads, DType::kFloat32);
  check.rank("grads", grads, 1, 1);
  if (grads.elements() == 0) return 0.0;
  return on_backend(ctx, reference::clip_gradients, onednn::clip_gradients, &DeviceOps::clip_gradients)(ctx, max_norm, grads);
}

}  // namespace sutura
