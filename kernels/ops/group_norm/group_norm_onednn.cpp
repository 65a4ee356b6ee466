#include <cmath>

#include "kernels/cpu/channel_loops.h"
#include "kernels/ops/group_norm/group_norm_impl.h"

namespace sutura::onednn {
namespace {

/// One record is [positions, C]; a group is a run of `group_channels` channels.
struct Record {
  Record(const Shape& x, std::int64_t group_count)
      : records(x[0]),
        length(x.row_elements()),
        tile(x[x.rank() - 1]),
        groups(group_count),
        group_channels(tile.channels / group_count),
        group_values(static_cast<double>(length / group_count)),
        step(block_values(tile)) {}
  std::int64_t records, length;
  ChannelTile tile;
  std::int64_t groups, group_channels;
  double group_values;
  std::int64_t step;
};

/// Work memory of one thread: six tiles and two rows of doubles.
struct Work {
  static std::size_t floats(const Record& r) {
    return static_cast<std::size_t>((6 * r.tile.width + 4 * r.tile.channels + 15) / 16 * 16);
  }
  Work(float* base, const Record& r, int worker)
      : tiles(base + static_cast<std::size_t>(worker) * floats(r)), width(r.tile.width) {
    sums = reinterpret_cast<double*>(tiles + 6 * width);
    products = sums + r.tile.channels;
  }
  float* tile(std::int64_t i) const { return tiles + i * width; }
  float* tiles;
  std::int64_t width;
  double* sums;
  double* products;
};

float* work_memory(Engine& engine, const Record& r, std::size_t more_floats) {
  const std::size_t floats = Work::floats(r) * static_cast<std::size_t>(engine.threads) + more_floats;
  return static_cast<float*>(engine.memory(Slot::kPartials, floats * sizeof(float)));
}

void add_channels(const float* from, std::int64_t channels, double* to) {
  for (std::int64_t c = 0; c < channels; ++c) to[c] += static_cast<double>(from[c]);
}

double group_sum(const Record& r, std::int64_t group, const double* channels) {
  double sum = 0.0;
  for (std::int64_t c = group * r.group_channels; c < (group + 1) * r.group_channels; ++c) sum += channels[c];
  return sum;
}

template <class T>
void forward_record(Isa isa, const Record& r, const Work& w, float eps, const T* x, const float* gamma, const float* beta, T* y,
                    float* mean, float* rstd) {
  const std::int64_t channels = r.tile.channels;
  float* part = w.tile(0);
  float* center = w.tile(1);
  float* scale = w.tile(2);
  float* shift = w.tile(3);
  std::fill(w.sums, w.sums + channels, 0.0);
  for (std::int64_t i = 0; i < r.length; i += r.step) {
    dispatch<ChannelSum<T>>(isa, r.tile, std::min(r.step, r.length - i), x + i, part);
    add_channels(part, channels, w.sums);
  }
  for (std::int64_t g = 0; g < r.groups; ++g) {
    mean[g] = static_cast<float>(group_sum(r, g, w.sums) / r.group_values);
    std::fill(center + g * r.group_channels, center + (g + 1) * r.group_channels, mean[g]);
  }
  repeat(r.tile, center, center);
  std::fill(w.sums, w.sums + channels, 0.0);
  for (std::int64_t i = 0; i < r.length; i += r.step) {
    dispatch<ChannelSquares<T>>(isa, r.tile, std::min(r.step, r.length - i), x + i, static_cast<const float*>(center), part);
    add_channels(part, channels, w.sums);
  }
  for (std::int64_t g = 0; g < r.groups; ++g) {
    const double variance = group_sum(r, g, w.sums) / r.group_values;
    rstd[g] = static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(eps)));
    for (std::int64_t c = g * r.group_channels; c < (g + 1) * r.group_channels; ++c) scale[c] = rstd[g] * gamma[c];
  }
  repeat(r.tile, scale, scale);
  repeat(r.tile, beta, shift);
  dispatch<ChannelAffine<T>>(isa, r.tile, r.length, x, static_cast<const float*>(center), static_cast<const float*>(scale),
                             static_cast<const float*>(shift), y);
}

/// Writes the record's sums of grad_y * h and of grad_y to `parts` ([2, C]).
template <class T>
void backward_record(Isa isa, const Record& r, const Work& w, const T* x, const T* grad_y, const float* gamma, const float* mean,
                     const float* rstd, T* grad_x, float* parts) {
  const std::int64_t channels = r.tile.channels;
  float* center = w.tile(2);
  float* factor = w.tile(3);
  float* offset = w.tile(4);
  float* slope = w.tile(5);
  for (std::int64_t g = 0; g < r.groups; ++g) {
    std::fill(center + g * r.group_channels, center + (g + 1) * r.group_channels, mean[g]);
  }
  repeat(r.tile, center, center);
  std::fill(w.sums, w.sums + 2 * channels, 0.0);
  for (std::int64_t i = 0; i < r.length; i += r.step) {
    dispatch<ChannelProducts<T>>(isa, r.tile, std::min(r.step, r.length - i), x + i, grad_y + i,
                                 static_cast<const float*>(center), w.tile(0), w.tile(1));
    add_channels(w.tile(0), channels, w.sums);
    add_channels(w.tile(1), channels, w.products);
  }
  for (std::int64_t g = 0; g < r.groups; ++g) {
    const double inverse_deviation = rstd[g];
    double mean_g = 0.0, mean_gh = 0.0;
    for (std::int64_t c = g * r.group_channels; c < (g + 1) * r.group_channels; ++c) {
      const double scale = gamma[c];
      mean_g += scale * w.sums[c];
      mean_gh += scale * w.products[c] * inverse_deviation;
    }
    mean_g /= r.group_values;
    mean_gh /= r.group_values;
    for (std::int64_t c = g * r.group_channels; c < (g + 1) * r.group_channels; ++c) {
      parts[c] = static_cast<float>(w.products[c] * inverse_deviation);
      parts[channels + c] = static_cast<float>(w.sums[c]);
      factor[c] = static_cast<float>(inverse_deviation * static_cast<double>(gamma[c]));
      offset[c] = static_cast<float>(inverse_deviation * mean_g);
      slope[c] = static_cast<float>(inverse_deviation * inverse_deviation * mean_gh);
    }
  }
  repeat(r.tile, factor, factor);
  repeat(r.tile, offset, offset);
  repeat(r.tile, slope, slope);
  dispatch<ChannelAffineBackward<T>>(isa, r.tile, r.length, x, grad_y, static_cast<const float*>(center),
                                     static_cast<const float*>(factor), static_cast<const float*>(offset),
                                     static_cast<const float*>(slope), grad_x);
}

}  // namespace

void group_norm_forward(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                        Tensor& y, Tensor& mean, Tensor& rstd) {
  Engine& engine = ctx.engine();
  const Record r(x.shape(), groups);
  float* memory = work_memory(engine, r, 0);
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, r.records, r.length, [&](std::int64_t n, int worker) {
      forward_record<T>(engine.isa, r, Work(memory, r, worker), eps, values<T>(x) + n * r.length, values<float>(gamma),
                        values<float>(beta), values<T>(y) + n * r.length, values<float>(mean) + n * groups,
                        values<float>(rstd) + n * groups);
    });
  });
}

void group_norm_backward(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                         const Tensor& mean, const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  Engine& engine = ctx.engine();
  const Record r(x.shape(), groups);
  const std::int64_t channels = r.tile.channels;
  float* memory = work_memory(engine, r, static_cast<std::size_t>(2 * channels * r.records));
  float* parts = memory + Work::floats(r) * static_cast<std::size_t>(engine.threads);
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, r.records, 2 * r.length, [&](std::int64_t n, int worker) {
      backward_record<T>(engine.isa, r, Work(memory, r, worker), values<T>(x) + n * r.length, values<T>(grad_y) + n * r.length,
                         values<float>(gamma), values<float>(mean) + n * groups, values<float>(rstd) + n * groups,
                         values<T>(grad_x) + n * r.length, parts + 2 * channels * n);
    });
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    double of_gamma = 0.0, of_beta = 0.0;
    for (std::int64_t n = 0; n < r.records; ++n) {
      of_gamma += static_cast<double>(parts[2 * channels * n + c]);
      of_beta += static_cast<double>(parts[2 * channels * n + channels + c]);
    }
    values<float>(grad_gamma)[c] += static_cast<float>(of_gamma);
    values<float>(grad_beta)[c] += static_cast<float>(of_beta);
  }
}

}  // namespace sutura::onednn
