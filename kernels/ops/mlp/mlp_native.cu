#include <vector>

#include "kernels/ops/mlp/tile.h"
#include "kernels/ops/mlp/weights.h"

namespace sutura::SUTURA_DEVICE {
namespace {

template <class T>
struct Chain {
  int layers;
  int width[kMlpMostLayers + 1];
  const float* weight[kMlpMostLayers];
  const float* bias[kMlpMostLayers];
  T* hidden[kMlpMostLayers];  // [N, width[l + 1]]: outputs forward, and the gradients of outputs before the ReLU backward
  const T* mask[kMlpMostLayers];

  __device__ Layer layer(int l) const { return {weight[l], width[l + 1], width[l]}; }
};

/// The tile's values of this layer, of the next, and weights on their way, in the launch's dynamic shared memory.
template <class Policy>
struct Shared {
  using T = typename Policy::Value;
  static constexpr std::size_t kTileBytes = sizeof(T) * kRecords * Policy::kStride;
  static constexpr std::size_t kBytes = 2 * kTileBytes + Policy::kWeightBytes;
  static_assert(kTileBytes % 16 == 0);
  T* now;
  T* next;
  T* weights;
  __device__ explicit Shared(unsigned char* memory)
      : now(reinterpret_cast<T*>(memory)),
        next(reinterpret_cast<T*>(memory + kTileBytes)),
        weights(reinterpret_cast<T*>(memory + 2 * kTileBytes)) {}
  __device__ void swap() {
    T* t = now;
    now = next;
    next = t;
  }
};

/// Limit: latency. A table's batch is a few tiles, and a layer of width 64 is 256 products a thread; what counts is one launch for
/// the chain and no trip to memory between layers. Weights come from the second-level cache, once per tile.
/// Shape: a block a tile of records; one block a multiprocessor is all that there are, so a thread may have all the registers it
/// asks for.
template <class Policy>
__global__ void __launch_bounds__(kMlpThreads, 1)
    forward_kernel(Chain<typename Policy::Value> chain, std::int64_t records, const typename Policy::Value* x) {
  using T = typename Policy::Value;
  SUTURA_DYNAMIC_SHARED(unsigned char, memory);
  Shared<Policy> s(memory);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kRecords;
  load_tile<Policy>(x, first, records, chain.width[0], s.now);
  for (int l = 0; l < chain.layers; ++l) {
    const int width = chain.width[l + 1];
    const float* bias = chain.bias[l];
    const bool last = l + 1 == chain.layers;
    T* to = chain.hidden[l];
    T* next = s.next;
    Policy::template product<Way::kForward>(chain.layer(l), width, chain.width[l], s.now, s.weights, [=](int r, int n, float v) {
      if (bias != nullptr && n < width) v += bias[n];
      if (!last && v <= 0.0f) v = 0.0f;  // NaN stays
      const T stored = store_value<T>(v);
      next[r * Policy::kStride + n] = stored;
      if (n < width && first + r < records) to[(first + r) * width + n] = stored;
    });
    s.swap();
  }
}

/// As forward_kernel, from the last layer down, limit and shape too; grad_x may be nullptr.
template <class Policy>
__global__ void __launch_bounds__(kMlpThreads, 1)
    backward_kernel(Chain<typename Policy::Value> chain, std::int64_t records, const typename Policy::Value* grad_y,
                    typename Policy::Value* grad_x) {
  using T = typename Policy::Value;
  SUTURA_DYNAMIC_SHARED(unsigned char, memory);
  Shared<Policy> s(memory);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * kRecords;
  load_tile<Policy>(grad_y, first, records, chain.width[chain.layers], s.now);
  for (int l = chain.layers - 1; l >= 0; --l) {
    if (l == 0 && grad_x == nullptr) return;
    const int width = chain.width[l];
    const T* mask = l > 0 ? chain.mask[l - 1] : nullptr;
    T* to = l > 0 ? chain.hidden[l - 1] : grad_x;
    T* next = s.next;
    Policy::template product<Way::kBackward>(
        chain.layer(l), width, chain.width[l + 1], s.now, s.weights, [=](int r, int n, float v) {
          const bool inside = n < width && first + r < records;
          if (!inside || (mask != nullptr && !(load_value(mask[(first + r) * width + n]) > 0.0f))) v = 0.0f;
          const T stored = store_value<T>(v);
          next[r * Policy::kStride + n] = stored;
          if (inside) to[(first + r) * width + n] = stored;
        });
    s.swap();
  }
}

template <class T>
Chain<T> chain_of(std::span<const Tensor> weights, const Tensor& x) {
  Chain<T> chain{};
  chain.layers = static_cast<int>(weights.size());
  chain.width[0] = static_cast<int>(x.shape()[1]);
  for (std::size_t l = 0; l < weights.size(); ++l) {
    chain.width[l + 1] = static_cast<int>(weights[l].shape()[0]);
    chain.weight[l] = static_cast<const float*>(weights[l].data());
  }
  return chain;
}

template <class Policy>
void forward(Context& ctx, std::span<const Tensor> weights, std::span<const Tensor> biases, const Tensor& x,
             std::span<Tensor> hidden, Tensor& y) {
  using T = typename Policy::Value;
  Chain<T> chain = chain_of<T>(weights, x);
  for (std::size_t l = 0; l < weights.size(); ++l) {
    chain.bias[l] = static_cast<const float*>(biases[l].data());
    chain.hidden[l] = static_cast<T*>(l < hidden.size() ? hidden[l].data() : y.data());
  }
  const auto tiles = static_cast<unsigned>((x.shape()[0] + kRecords - 1) / kRecords);
  SUTURA_LAUNCH((forward_kernel<Policy>), tiles, kMlpThreads, Shared<Policy>::kBytes, ctx.stream().stream(), chain, x.shape()[0],
                static_cast<const T*>(x.data()));
}

/// Returns the gradients of the hidden layers' outputs before the ReLU.
template <class Policy>
std::vector<Tensor> backward(Context& ctx, std::span<const Tensor> weights, const Tensor& x, std::span<const Tensor> hidden,
                             const Tensor& grad_y, Tensor& grad_x) {
  using T = typename Policy::Value;
  Chain<T> chain = chain_of<T>(weights, x);
  std::vector<Tensor> grads;
  for (std::size_t l = 0; l < hidden.size(); ++l) {
    grads.push_back(ctx.tensor(hidden[l].shape(), x.dtype()));
    chain.hidden[l] = static_cast<T*>(grads[l].data());
    chain.mask[l] = static_cast<const T*>(hidden[l].data());
  }
  const auto tiles = static_cast<unsigned>((x.shape()[0] + kRecords - 1) / kRecords);
  SUTURA_LAUNCH((backward_kernel<Policy>), tiles, kMlpThreads, Shared<Policy>::kBytes, ctx.stream().stream(), chain, x.shape()[0],
                static_cast<const T*>(grad_y.data()), static_cast<T*>(grad_x.data()));
  return grads;
}

}  // namespace

void mlp_forward(Context& ctx, std::span<const Tensor> weights, std::span<const Tensor> biases, const Tensor& x,
                 std::span<Tensor> hidden, Tensor& y) {
  (x.dtype() == DType::kBfloat16 ? forward<Half> : forward<Exact>)(ctx, weights, biases, x, hidden, y);
}

void mlp_backward(Context& ctx, std::span<const Tensor> weights, const Tensor& x, std::span<const Tensor> hidden,
                  const Tensor& grad_y, Tensor& grad_x, std::span<Tensor> grad_weights, std::span<Tensor> grad_biases) {
  const std::vector<Tensor> grads =
      (x.dtype() == DType::kBfloat16 ? backward<Half> : backward<Exact>)(ctx, weights, x, hidden, grad_y, grad_x);
  mlp_weight_gradients(ctx, x, hidden, grads, grad_y, grad_weights, grad_biases);
}

}  // namespace sutura::SUTURA_DEVICE
