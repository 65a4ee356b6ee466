#include <algorithm>

#include "kernels/cuda/elementwise.h"
#include "kernels/ops/mlp/mlp.h"
#include "kernels/ops/mlp/weights.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr int kTile = 32, kPer = 4;
constexpr unsigned kThreads = kTile * kTile / kPer;

/// All layers' weight gradients, so that one launch serves them all: tile t of layer l is block first_tile[l] + t.
template <class T>
struct Gradients {
  int layers;
  int first_tile[kMlpMostLayers + 1];
  int inputs[kMlpMostLayers], outputs[kMlpMostLayers];
  int first_value[kMlpMostLayers + 1];  // of a layer in a slice of partial sums: weights, then biases
  const T* x[kMlpMostLayers];           // [N, inputs]
  const T* grad[kMlpMostLayers];        // [N, outputs]
  float* grad_weight[kMlpMostLayers];
  float* grad_bias[kMlpMostLayers];  // nullptr: no bias
};

/// The layer whose range in `first` holds i.
__device__ __forceinline__ int layer_of(const int* first, int layers, int i) {
  int l = 0;
  while (l + 1 < layers && i >= first[l + 1]) ++l;
  return l;
}

/// partial[slice] = the gradients from one slice of the records. float32 products also of bfloat16 values: there are too few to keep
/// tensor cores busy, and they are exact.
/// Limit: latency. Shape: a tile of 32 x 32 gradients a block, 4 a thread, so that even a layer of 64 x 64 is four blocks and slices
/// multiply them.
template <class T>
__global__ void __launch_bounds__(kThreads)
    partial_kernel(Gradients<T> g, std::int64_t records, std::int64_t slice_records, float* partial) {
  SUTURA_SHARED(float, grads, kTile*(kTile + 1));
  SUTURA_SHARED(float, values, kTile*(kTile + 1));
  const int l = layer_of(g.first_tile, g.layers, static_cast<int>(blockIdx.x));
  const int tile = static_cast<int>(blockIdx.x) - g.first_tile[l];
  const int inputs = g.inputs[l], outputs = g.outputs[l], across = (inputs + kTile - 1) / kTile;
  const int o0 = tile / across * kTile, i0 = tile % across * kTile;
  const int row = static_cast<int>(threadIdx.x) / kTile, column = static_cast<int>(threadIdx.x) % kTile;
  const std::int64_t begin = static_cast<std::int64_t>(blockIdx.y) * slice_records;
  const std::int64_t end = begin + slice_records < records ? begin + slice_records : records;
  float sums[kPer] = {}, biases[kPer] = {};
  for (std::int64_t n0 = begin; n0 < end; n0 += kTile) {
    block_sync();
    for (int r = row; r < kTile; r += kTile / kPer) {
      const bool inside = n0 + r < end;
      grads[r * (kTile + 1) + column] =
          inside && o0 + column < outputs ? load_value(g.grad[l][(n0 + r) * outputs + o0 + column]) : 0.0f;
      values[r * (kTile + 1) + column] =
          inside && i0 + column < inputs ? load_value(g.x[l][(n0 + r) * inputs + i0 + column]) : 0.0f;
    }
    block_sync();
    for (int r = 0; r < kTile; ++r) {
      const float v = values[r * (kTile + 1) + column];
      SUTURA_UNROLL
      for (int j = 0; j < kPer; ++j) {
        const float d = grads[r * (kTile + 1) + row * kPer + j];
        sums[j] = fused_multiply_add(d, v, sums[j]);
        biases[j] += d;
      }
    }
  }
  float* to = partial + static_cast<std::int64_t>(blockIdx.y) * g.first_value[g.layers] + g.first_value[l];
  SUTURA_UNROLL
  for (int j = 0; j < kPer; ++j) {
    const int o = o0 + row * kPer + j, i = i0 + column;
    if (o >= outputs) continue;
    if (i < inputs) to[o * inputs + i] = sums[j];
    if (i == 0) to[outputs * inputs + o] = biases[j];
  }
}

/// Limit: memory, or the launch for small chains. Shape: a thread adds one gradient's slices in their order.
template <class T>
__global__ void __launch_bounds__(kThreads) add_slices_kernel(Gradients<T> g, int slices, const float* partial) {
  const int total = g.first_value[g.layers], at = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (at >= total) return;
  float sum = 0.0f;
  for (int s = 0; s < slices; ++s) sum += partial[static_cast<std::int64_t>(s) * total + at];
  const int l = layer_of(g.first_value, g.layers, at), i = at - g.first_value[l], weights = g.inputs[l] * g.outputs[l];
  if (i < weights) {
    g.grad_weight[l][i] += sum;
  } else if (g.grad_bias[l] != nullptr) {
    g.grad_bias[l][i - weights] += sum;
  }
}

template <class T>
void run(Context& ctx, const Tensor& x, std::span<const Tensor> hidden, std::span<const Tensor> grads, const Tensor& grad_y,
         std::span<Tensor> grad_weights, std::span<Tensor> grad_biases) {
  constexpr std::int64_t kMostSlices = 64, kSliceRecords = 128;
  Gradients<T> g{};
  g.layers = static_cast<int>(grad_weights.size());
  for (std::size_t l = 0; l < grad_weights.size(); ++l) {
    const Shape& s = grad_weights[l].shape();
    g.outputs[l] = static_cast<int>(s[0]);
    g.inputs[l] = static_cast<int>(s[1]);
    g.first_tile[l + 1] = g.first_tile[l] + (g.outputs[l] + kTile - 1) / kTile * ((g.inputs[l] + kTile - 1) / kTile);
    g.first_value[l + 1] = g.first_value[l] + g.outputs[l] * (g.inputs[l] + 1);
    g.x[l] = static_cast<const T*>(l == 0 ? x.data() : hidden[l - 1].data());
    g.grad[l] = static_cast<const T*>(l < grads.size() ? grads[l].data() : grad_y.data());
    g.grad_weight[l] = static_cast<float*>(grad_weights[l].data());
    g.grad_bias[l] = static_cast<float*>(grad_biases[l].data());
  }
  const std::int64_t records = x.shape()[0];
  const std::int64_t wanted = std::min(kMostSlices, (records + kSliceRecords - 1) / kSliceRecords);
  const std::int64_t slice_records = ((records + wanted - 1) / wanted + kTile - 1) / kTile * kTile;
  const auto slices = static_cast<unsigned>((records + slice_records - 1) / slice_records);
  Tensor partial = ctx.tensor({slices, g.first_value[g.layers]});
  const Stream stream = ctx.stream().stream();
  SUTURA_LAUNCH((partial_kernel<T>), dim3(static_cast<unsigned>(g.first_tile[g.layers]), slices), kThreads, 0, stream, g, records,
                slice_records, static_cast<float*>(partial.data()));
  SUTURA_LAUNCH((add_slices_kernel<T>), (static_cast<unsigned>(g.first_value[g.layers]) + kThreads - 1) / kThreads, kThreads, 0,
                stream, g, static_cast<int>(slices), static_cast<const float*>(partial.data()));
}

}  // namespace

void mlp_weight_gradients(Context& ctx, const Tensor& x, std::span<const Tensor> hidden, std::span<const Tensor> grads,
                          const Tensor& grad_y, std::span<Tensor> grad_weights, std::span<Tensor> grad_biases) {
  (x.dtype() == DType::kBfloat16 ? run<bf16> : run<float>)(ctx, x, hidden, grads, grad_y, grad_weights, grad_biases);
}

}  // namespace sutura::SUTURA_DEVICE
