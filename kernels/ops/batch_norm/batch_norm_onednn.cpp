#include <cmath>

#include "kernels/cpu/channel_loops.h"
#include "kernels/ops/batch_norm/batch_norm_impl.h"

namespace sutura::onednn {
namespace {

/// How [rows, C] is divided: blocks of whole tiles, the same for every thread count, so sums have the same bits.
struct Blocks {
  explicit Blocks(const Shape& x)
      : tile(x[x.rank() - 1]), total(x.elements()), size(block_values(tile)), count((total + size - 1) / size) {}
  std::int64_t begin(std::int64_t b) const { return b * size; }
  std::int64_t length(std::int64_t b) const { return std::min(size, total - b * size); }
  double rows() const { return static_cast<double>(total / tile.channels); }
  double rows_in(std::int64_t b) const { return static_cast<double>(length(b) / tile.channels); }

  ChannelTile tile;
  std::int64_t total, size, count;
};

/// Work memory in float32 places: two tiles per block, `tiles` tiles shared by all, then two rows of doubles.
struct Work {
  Work(Engine& engine, const Blocks& b, std::int64_t tiles) : width(b.tile.width), shared_at(2 * b.count) {
    const std::int64_t floats = ((2 * b.count + tiles) * width + 15) / 16 * 16;  // the doubles behind them stay aligned
    const auto places = static_cast<std::size_t>(floats + 4 * b.tile.channels);
    base = static_cast<float*>(engine.memory(Slot::kPartials, places * sizeof(float)));
    sums = reinterpret_cast<double*>(base + floats);
  }
  float* first(std::int64_t block) const { return base + 2 * block * width; }
  float* second(std::int64_t block) const { return base + (2 * block + 1) * width; }
  float* shared(std::int64_t i) const { return base + (shared_at + i) * width; }

  std::int64_t width, shared_at;
  float* base;
  double* sums;
};

void spread(const Blocks& b, float* tile) { repeat(b.tile, tile, tile); }

void apply(Engine& engine, const Blocks& b, const Tensor& x, const float* mean, const float* scale, const float* shift,
           Tensor& y) {
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, b.count, b.size, [&](std::int64_t i, int) {
      dispatch<ChannelAffine<T>>(engine.isa, b.tile, b.length(i), values<T>(x) + b.begin(i), mean, scale, shift,
                                 values<T>(y) + b.begin(i));
    });
  });
}

}  // namespace

void batch_norm_forward_train(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  Engine& engine = ctx.engine();
  const Blocks blocks(x.shape());
  const Work work(engine, blocks, 3);
  const std::int64_t channels = blocks.tile.channels;
  // Per block: mean, then squared deviations from it while the block is in cache (Chan et al. 1979): stable and one pass over memory.
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, blocks.count, blocks.size, [&](std::int64_t b, int) {
      const T* from = values<T>(x) + blocks.begin(b);
      float* block_mean = work.first(b);
      dispatch<ChannelSum<T>>(engine.isa, blocks.tile, blocks.length(b), from, block_mean);
      const auto inverse = static_cast<float>(1.0 / blocks.rows_in(b));
      for (std::int64_t c = 0; c < channels; ++c) block_mean[c] *= inverse;
      spread(blocks, block_mean);
      dispatch<ChannelSquares<T>>(engine.isa, blocks.tile, blocks.length(b), from, static_cast<const float*>(block_mean),
                                  work.second(b));
    });
  });
  double* total_mean = work.sums;
  double* squares = work.sums + channels;
  std::fill(total_mean, total_mean + 2 * channels, 0.0);
  const double rows = blocks.rows();
  for (std::int64_t b = 0; b < blocks.count; ++b) {
    const double share = blocks.rows_in(b) / rows;
    for (std::int64_t c = 0; c < channels; ++c) total_mean[c] += share * static_cast<double>(work.first(b)[c]);
  }
  for (std::int64_t b = 0; b < blocks.count; ++b) {
    const double count = blocks.rows_in(b);
    for (std::int64_t c = 0; c < channels; ++c) {
      const double off = static_cast<double>(work.first(b)[c]) - total_mean[c];
      squares[c] += static_cast<double>(work.second(b)[c]) + count * off * off;
    }
  }
  float* center = work.shared(0);
  float* scale = work.shared(1);
  float* shift = work.shared(2);
  for (std::int64_t c = 0; c < channels; ++c) {
    const double inverse_deviation = 1.0 / std::sqrt(squares[c] / rows + static_cast<double>(eps));
    const auto m = static_cast<float>(total_mean[c]);
    const auto unbiased = static_cast<float>(squares[c] / (rows - 1.0));
    mean.f32()[static_cast<std::size_t>(c)] = center[c] = m;
    rstd.f32()[static_cast<std::size_t>(c)] = static_cast<float>(inverse_deviation);
    scale[c] = static_cast<float>(inverse_deviation * static_cast<double>(values<float>(gamma)[c]));
    shift[c] = values<float>(beta)[c];
    float& running_m = values<float>(running_mean)[c];
    float& running_v = values<float>(running_var)[c];
    running_m = (1.0f - momentum) * running_m + momentum * m;
    running_v = (1.0f - momentum) * running_v + momentum * unbiased;
  }
  for (std::int64_t i = 0; i < 3; ++i) spread(blocks, work.shared(i));
  apply(engine, blocks, x, center, scale, shift, y);
}

void batch_norm_forward_evaluate(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                 const Tensor& running_mean, const Tensor& running_var, Tensor& y) {
  Engine& engine = ctx.engine();
  const Blocks blocks(x.shape());
  const Work work(engine, blocks, 2);
  for (std::int64_t c = 0; c < blocks.tile.channels; ++c) {
    const double variance = static_cast<double>(values<float>(running_var)[c]);
    work.shared(0)[c] = values<float>(running_mean)[c];
    work.shared(1)[c] =
        static_cast<float>(static_cast<double>(values<float>(gamma)[c]) / std::sqrt(variance + static_cast<double>(eps)));
    work.first(0)[c] = values<float>(beta)[c];
  }
  spread(blocks, work.shared(0));
  spread(blocks, work.shared(1));
  spread(blocks, work.first(0));
  apply(engine, blocks, x, work.shared(0), work.shared(1), work.first(0), y);
}

void batch_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  Engine& engine = ctx.engine();
  const Blocks blocks(x.shape());
  const Work work(engine, blocks, 4);
  const std::int64_t channels = blocks.tile.channels;
  float* center = work.shared(0);
  repeat(blocks.tile, values<float>(mean), center);
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, blocks.count, 2 * blocks.size, [&](std::int64_t b, int) {
      dispatch<ChannelProducts<T>>(engine.isa, blocks.tile, blocks.length(b), values<T>(x) + blocks.begin(b),
                                   values<T>(grad_y) + blocks.begin(b), static_cast<const float*>(center), work.first(b),
                                   work.second(b));
    });
  });
  double* sums = work.sums;
  double* products = work.sums + channels;
  std::fill(sums, sums + 2 * channels, 0.0);
  for (std::int64_t b = 0; b < blocks.count; ++b) {
    for (std::int64_t c = 0; c < channels; ++c) {
      sums[c] += static_cast<double>(work.first(b)[c]);
      products[c] += static_cast<double>(work.second(b)[c]);
    }
  }
  float* a = work.shared(1);
  float* offset = work.shared(2);
  float* slope = work.shared(3);
  for (std::int64_t c = 0; c < channels; ++c) {
    const double inverse_deviation = values<float>(rstd)[c];
    const double factor = inverse_deviation * static_cast<double>(values<float>(gamma)[c]);
    a[c] = static_cast<float>(factor);
    offset[c] = static_cast<float>(factor * sums[c] / blocks.rows());
    slope[c] = static_cast<float>(factor * products[c] * inverse_deviation * inverse_deviation / blocks.rows());
    values<float>(grad_gamma)[c] += static_cast<float>(products[c] * inverse_deviation);
    values<float>(grad_beta)[c] += static_cast<float>(sums[c]);
  }
  for (std::int64_t i = 1; i < 4; ++i) spread(blocks, work.shared(i));
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, blocks.count, 2 * blocks.size, [&](std::int64_t b, int) {
      dispatch<ChannelAffineBackward<T>>(engine.isa, blocks.tile, blocks.length(b), values<T>(x) + blocks.begin(b),
                                         values<T>(grad_y) + blocks.begin(b), static_cast<const float*>(center),
                                         static_cast<const float*>(a), static_cast<const float*>(offset),
                                         static_cast<const float*>(slope), values<T>(grad_x) + blocks.begin(b));
    });
  });
}

}  // namespace sutura::onednn
