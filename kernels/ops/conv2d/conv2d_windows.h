#pragma once
#include "kernels/cuda/gemm/operands.h"
#include "kernels/cuda/gemm/plan.h"
#include "kernels/ops/conv2d/conv2d.h"

namespace sutura::SUTURA_DEVICE {

/// The windows of x [N, H, W, C] that the outputs [N, P, Q, K] see: a line per position, a column per tap and channel.
template <class T>
gemm::Window<T> windows_of(const Conv2dSpec& spec, const T* x, const Shape& image, const Shape& out) {
  return {.base = x,
          .height = gemm::counted(image[1]),
          .width = gemm::counted(image[2]),
          .lines = gemm::counted(out[0] * out[1] * out[2]),
          .columns = gemm::counted(spec.kernel_h * spec.kernel_w * image[3]),
          .across = gemm::Divider(out[2]),
          .down = gemm::Divider(out[1]),
          .channels = gemm::Divider(image[3]),
          .taps_w = gemm::Divider(spec.kernel_w),
          .scale_h = gemm::counted(spec.stride_h),
          .scale_w = gemm::counted(spec.stride_w),
          .shift_h = -gemm::counted(spec.pad_h),
          .shift_w = -gemm::counted(spec.pad_w),
          .step = 1};
}

}  // namespace sutura::SUTURA_DEVICE
