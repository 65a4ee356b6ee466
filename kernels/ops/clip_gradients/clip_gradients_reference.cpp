#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/reduce.h"
#include "kernels/ops/clip_gradients/clip_gradients_impl.h"

namespace sutura::reference {

double clip_gradients(Context&, double max_norm, Tensor& grads) {
  const double norm = std::sqrt(sum_squares_tree(grads.f32()));
  if (!(norm <= std::numeric_limits<double>::max())) {
    // Scaling by 0 would leave a harmless-looking gradient behind.
    std::ranges::fill(grads.f32(), std::numeric_limits<float>::quiet_NaN());
  } else if (const double scale = max_norm / (norm + 1e-6); scale < 1.0) {
    for (float& g : grads.f32()) g *= static_cast<float>(scale);
  }
  return norm;
}

}  // namespace sutura::reference
