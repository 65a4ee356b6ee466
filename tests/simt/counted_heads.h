#pragma once
#include <atomic>

#include "tests/simt/executor.h"

namespace sutura::simt {

/// Calls of pooled_head() of counted_heads(). Parties have threads of their own.
inline std::atomic<int> heads{0};

/// table(), counting.
inline const DeviceOps& counted_heads() {
  static const DeviceOps counted = [] {
    DeviceOps t = table();
    t.pooled_head = [](Context& ctx, HeadLoss loss, const Tensor& x, const Tensor& weight, const Tensor& bias,
                       const Tensor& labels, double scale, std::span<const double> class_weights, Tensor& logits,
                       HeadGradients grads, LossSum& sum) {
      ++heads;
      table().pooled_head(ctx, loss, x, weight, bias, labels, scale, class_weights, logits, grads, sum);
    };
    return t;
  }();
  return counted;
}

}  // namespace sutura::simt
