#include "kernels/cuda/elementwise.h"
#include "kernels/ops/add/add_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

struct Sum {
  __device__ static float apply(float a, float b) { return a + b; }
};

}  // namespace

void add(Context& ctx, const Tensor& a, const Tensor& b, Tensor& y) { map<Sum>(ctx, "add", y, a, b); }

}  // namespace sutura::SUTURA_DEVICE
