#include <algorithm>
#include <bit>

#include "kernels/cuda/elementwise.h"
#include "kernels/ops/class_weights.h"
#include "kernels/ops/loss_sum/loss_sum_impl.h"
#include "kernels/ops/loss_sum/rows.h"
#include "kernels/ops/pooled_head/pooled_head_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kWarps = 8, kThreads = 32 * kWarps;

struct Sizes {
  std::int64_t records;
  int positions, channels, classes;
  int side;  ///< threads side by side on channels, a power of two; the others of a block take every (kThreads / side)-th position
};

struct HeadRows {
  float* pooled;  // [N, C]
  float* grad;    // [N, K]: of the logits
  double* losses;
  double* broken;
  std::int32_t* outside;
};

__device__ __forceinline__ float warp_sum(float v) {
  SUTURA_UNROLL
  for (unsigned mask = 16; mask > 0; mask /= 2) v += warp_shuffle_xor(v, mask);
  return v;
}

/// True for all threads where a label lies outside the classes. Every block looks at all labels: for a batch of hundreds that
/// is a load or two a thread, and a launch less than asking first.
__device__ __forceinline__ bool any_outside(std::int64_t records, int kinds, const std::int32_t* labels) {
  bool found = false;
  for (std::int64_t i = threadIdx.x; i < records; i += kThreads) found = found || labels[i] < 0 || labels[i] >= kinds;
  return block_any(found);
}

/// Gradients of one record's logits by one warp, to `grad`; its loss and flag to rows.
__device__ __forceinline__ void record_loss(HeadLoss loss, const Sizes& s, std::int64_t n, std::int64_t label, double scale,
                                            const ClassWeights& weights, const float* logits, float* grad, const HeadRows& rows) {
  const double factor = weights.count == 0 ? 1.0 : weights.of[label];
  double value = 0.0;
  bool bad = false;
  if (loss == HeadLoss::kCrossEntropy) {
    const SoftmaxRow row = softmax_row(s.classes, label, [logits](std::int64_t c) { return static_cast<double>(logits[c]); });
    value = factor * row.loss;
    for (int k = static_cast<int>(lane_id()); k < s.classes; k += 32) {
      const double p = exp(static_cast<double>(logits[k]) - row.top) * row.share;
      grad[k] = static_cast<float>(scale * factor * (p - (k == label ? 1.0 : 0.0)));
      bad = bad || !finite(logits[k]);
    }
  } else {
    const BinaryRow row = binary_row(logits[0], label != 0);
    value = factor * row.loss;
    bad = !finite(logits[0]);
    if (lane_id() == 0) grad[0] = static_cast<float>(scale * factor * (row.probability - (label != 0 ? 1.0 : 0.0)));
  }
  const bool any = warp_ballot(bad || !finite(value)) != 0;
  if (lane_id() != 0) return;
  rows.losses[n] = value;
  rows.broken[n] = any ? 1.0 : 0.0;
}

/// Limit: memory. x is read once and grad_x written once; pooled values, logits and their gradients never leave the multiprocessor
/// but for what the weights' kernel needs. Shape: a block per record: a batch of 128 fills the chip once. Threads run along
/// channels, so every access is a full line, and share the positions where channels are few; a warp takes a class of the product,
/// which is short (C <= 2048) against the pass over x.
template <class T>
__global__ void __launch_bounds__(kThreads)
    head_kernel(HeadLoss loss, Sizes s, const T* x, const float* weight, const float* bias, const std::int32_t* labels,
                double scale, ClassWeights weights, float* logits_out, T* grad_x, HeadRows rows) {
  SUTURA_SHARED(float, pooled, kHeadMostChannels);
  SUTURA_SHARED(float, partial, kThreads);
  SUTURA_SHARED(float, logits, kHeadMostClasses);
  SUTURA_SHARED(float, grad, kHeadMostClasses);
  const std::int64_t n = blockIdx.x;
  const bool outside = any_outside(s.records, loss == HeadLoss::kCrossEntropy ? s.classes : 2, labels);
  if (n == 0 && threadIdx.x == 0) *rows.outside = outside ? 1 : 0;
  if (outside) return;
  const T* from = x + n * s.positions * s.channels;
  const int within = static_cast<int>(threadIdx.x) % s.side, first = static_cast<int>(threadIdx.x) / s.side;
  const int step = static_cast<int>(kThreads) / s.side;
  for (int base = 0; base < s.channels; base += s.side) {
    const int c = base + within;
    float sum = 0.0f;
    if (c < s.channels) {
#pragma unroll 4
      for (int p = first; p < s.positions; p += step) sum += load_value(from[static_cast<std::int64_t>(p) * s.channels + c]);
    }
    partial[threadIdx.x] = sum;
    block_sync();
    if (first == 0 && c < s.channels) {
      for (int i = 1; i < step; ++i) sum += partial[i * s.side + within];
      pooled[c] = sum / static_cast<float>(s.positions);
      rows.pooled[n * s.channels + c] = pooled[c];
    }
    block_sync();  // before the next channels' sums, and before all read `pooled`
  }
  for (int k = static_cast<int>(threadIdx.x / 32); k < s.classes; k += kWarps) {
    float sum = 0.0f;
    for (int c = static_cast<int>(lane_id()); c < s.channels; c += 32) sum += pooled[c] * weight[k * s.channels + c];
    sum = warp_sum(sum) + (bias == nullptr ? 0.0f : bias[k]);
    if (lane_id() != 0) continue;
    logits[k] = sum;
    logits_out[n * s.classes + k] = sum;
  }
  block_sync();
  if (threadIdx.x < 32) record_loss(loss, s, n, labels[n], scale, weights, logits, grad, rows);
  block_sync();
  if (static_cast<int>(threadIdx.x) < s.classes) rows.grad[n * s.classes + threadIdx.x] = grad[threadIdx.x];
  T* to = grad_x + n * s.positions * s.channels;
  for (int c = static_cast<int>(threadIdx.x); c < s.channels; c += kThreads) {
    float sum = 0.0f;
    for (int k = 0; k < s.classes; ++k) sum += grad[k] * weight[k * s.channels + c];
    pooled[c] = sum / static_cast<float>(s.positions);  // from here on the gradient: nobody reads the means any more
  }
  block_sync();
  for (int c = within; c < s.channels; c += s.side) {
    const T g = store_value<T>(pooled[c]);
    for (int p = first; p < s.positions; p += step) to[static_cast<std::int64_t>(p) * s.channels + c] = g;
  }
}

/// Limit: latency. N * C values, K times, all in the second-level cache. Shape: a block takes 32 channels (a line) of one class; its
/// 8 warps share the records and add up in a fixed order. One more block adds the losses, which saves a launch.
__global__ void __launch_bounds__(kThreads) head_weights_kernel(Sizes s, unsigned channel_blocks, double scale, HeadRows rows,
                                                                float* grad_weight, float* grad_bias, double* sum) {
  SUTURA_SHARED(float, weight_warps, kThreads);
  SUTURA_SHARED(float, bias_warps, kThreads);
  SUTURA_SHARED(double, loss_warps, kWarps);
  SUTURA_SHARED(double, broken_warps, kWarps);
  const bool outside = *rows.outside != 0;
  const auto k = static_cast<int>(blockIdx.x / channel_blocks);
  if (k == s.classes) {  // the last block
    if (!outside) add_rows(s.records, rows.losses, rows.broken, scale, sum, loss_warps, broken_warps);
    if (outside && threadIdx.x == 0) sum[LossSum::kBadLabels] += 1.0;
    return;
  }
  if (outside) return;
  const int c = static_cast<int>(blockIdx.x % channel_blocks * 32 + lane_id());
  const bool inside = c < s.channels;
  float weights = 0.0f, biases = 0.0f;
#pragma unroll 4
  for (std::int64_t n = threadIdx.x / 32; n < s.records; n += kWarps) {
    const float g = rows.grad[n * s.classes + k];
    weights += g * (inside ? rows.pooled[n * s.channels + c] : 0.0f);
    biases += g;
  }
  weight_warps[threadIdx.x] = weights;
  bias_warps[threadIdx.x] = biases;
  block_sync();
  if (threadIdx.x >= 32 || !inside) return;
  weights = biases = 0.0f;
  for (unsigned w = 0; w < kWarps; ++w) {
    weights += weight_warps[32 * w + threadIdx.x];
    biases += bias_warps[32 * w + threadIdx.x];
  }
  grad_weight[k * s.channels + c] += weights;
  if (c == 0 && grad_bias != nullptr) grad_bias[k] += biases;
}

}  // namespace

void pooled_head(Context& ctx, HeadLoss loss, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& labels,
                 double scale, std::span<const double> class_weights, Tensor& logits, HeadGradients grads, LossSum& sum) {
  const auto channels = static_cast<unsigned>(x.shape()[3]);
  const Sizes s = {x.shape()[0], static_cast<int>(x.shape()[1] * x.shape()[2]), static_cast<int>(channels),
                   static_cast<int>(weight.shape()[0]), static_cast<int>(std::min(kThreads, std::bit_ceil(channels)))};
  const ClassWeights weights(class_weights);
  LossRows values = loss_rows(ctx, s.records);
  Tensor pooled = ctx.tensor({s.records, s.channels}), grad = ctx.tensor({s.records, s.classes});
  Tensor outside = ctx.tensor({1}, DType::kInt32);
  const HeadRows rows = {static_cast<float*>(pooled.data()), static_cast<float*>(grad.data()), values.losses(), values.broken(),
                         static_cast<std::int32_t*>(outside.data())};
  const Stream stream = ctx.stream().stream();
  const auto go = [&]<class T>(T*) {
    SUTURA_LAUNCH((head_kernel<T>), static_cast<unsigned>(s.records), kThreads, 0, stream, loss, s,
                  static_cast<const T*>(x.data()), static_cast<const float*>(weight.data()),
                  static_cast<const float*>(bias.data()), static_cast<const std::int32_t*>(labels.data()), scale, weights,
                  static_cast<float*>(logits.data()), static_cast<T*>(grads.x.data()), rows);
  };
  if (x.dtype() == DType::kBfloat16) {
    go(static_cast<bf16*>(nullptr));
  } else {
    go(static_cast<float*>(nullptr));
  }
  const auto channel_blocks = static_cast<unsigned>((s.channels + 31) / 32);
  SUTURA_LAUNCH(head_weights_kernel, channel_blocks * static_cast<unsigned>(s.classes) + 1, kThreads, 0, stream, s,
                channel_blocks, scale, rows, static_cast<float*>(grads.weight.data()), static_cast<float*>(grads.bias.data()),
                static_cast<double*>(sum.tensor().data()));
}

}  // namespace sutura::SUTURA_DEVICE
