#include "bench/gpu/convolutions.h"

namespace sutura::bench {

double Convolution::flops(std::int64_t batch) const {
  const Shape y = spec.output_shape({batch, pixels, pixels, channels}, filters);
  return 2.0 * static_cast<double>(y.elements()) * static_cast<double>(spec.kernel_h * spec.kernel_w * channels);
}

std::string name(Direction d) { return d == Direction::kForward ? "fprop" : d == Direction::kData ? "dgrad" : "wgrad"; }

std::vector<Convolution> convolutions(Effort effort) {
  if (effort == Effort::kTiny) return {{"tiny.3x3s2", 5, 8, 16, {3, 3, 2, 2, 1, 1}}};
  struct Net {
    const char* name;
    std::int64_t after_stage1;
  };
  std::vector<Convolution> list;
  for (const Net net : {Net{"28px", 28}, Net{"64px", 16}, Net{"224px", 56}}) {
    std::int64_t pixels = net.after_stage1;
    for (std::int64_t stage = 2; stage <= 4; ++stage) {
      const std::int64_t in = std::int64_t{64} << (stage - 2), out = 2 * in, half = (pixels + 1) / 2;
      const std::string at = std::string(net.name) + ".stage" + std::to_string(stage);
      list.push_back({at + ".3x3s2", pixels, in, out, {3, 3, 2, 2, 1, 1}});
      list.push_back({at + ".1x1s2", pixels, in, out, {1, 1, 2, 2, 0, 0}});
      list.push_back({at + ".3x3s1", half, out, out, {3, 3, 1, 1, 1, 1}});
      pixels = half;
    }
  }
  return list;
}

std::vector<std::int64_t> batches(Effort effort) {
  if (effort == Effort::kTiny) return {2};
  if (effort == Effort::kQuick) return {128};
  return {32, 128, 512};
}

std::string key(const Convolution& c, std::int64_t batch, Direction d) {
  return "conv." + c.name + ".b" + std::to_string(batch) + "." + name(d);
}

void measure_convolutions(Report& report) {
  const Effort effort = report.effort();
  Context ctx(Backend::kNative, 1, DType::kBfloat16);
  for (const Convolution& c : convolutions(effort)) {
    for (const std::int64_t batch : batches(effort)) {
      const Shape x_shape{batch, c.pixels, c.pixels, c.channels}, w_shape{c.filters, c.spec.kernel_h, c.spec.kernel_w, c.channels};
      const Shape y_shape = c.spec.output_shape(x_shape, c.filters);
      std::vector<Tensor> x, y;
      for (int i = 0; i < kSets; ++i) {
        x.push_back(random_tensor(ctx, x_shape, DType::kBfloat16, 1 + static_cast<std::uint64_t>(i)));
        y.push_back(random_tensor(ctx, y_shape, DType::kBfloat16, 11 + static_cast<std::uint64_t>(i)));
      }
      Tensor weight = random_tensor(ctx, w_shape, DType::kFloat32, 21), grad = ctx.zeros(w_shape), none;
      Tensor half = random_tensor(ctx, w_shape, DType::kBfloat16, 21);
      weight.set_half(static_cast<bf16*>(half.data()));
      const auto run = [&](Direction d, int set) {
        const auto i = static_cast<std::size_t>(set);
        switch (d) {
          case Direction::kForward: return conv2d_forward(ctx, c.spec, x[i], weight, none, y[i]);
          case Direction::kData: return conv2d_backward_data(ctx, c.spec, y[i], weight, x[i]);
          case Direction::kWeights: return conv2d_backward_weights(ctx, c.spec, x[i], y[i], grad, none);
        }
      };
      for (const Direction d : {Direction::kForward, Direction::kData, Direction::kWeights})
        report.number(key(c, batch, d) + ".ours", "s", [&] { return graph_seconds(ctx, effort, [&](int set) { run(d, set); }); });
    }
  }
}

}  // namespace sutura::bench
