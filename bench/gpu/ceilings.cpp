#include "bench/gpu/ceilings.h"

namespace sutura::bench {

void measure_ceilings(Report& report, const CeilingKernels& kernels) {
  Context ctx(Backend::kNative);
  const Effort effort = report.effort();
  const bool tiny = effort == Effort::kTiny;
  report.number("ceiling.copy", "B/s read and written", [&] {
    const std::int64_t n = tiny ? 1 << 10 : 1 << 28;  // 1 GiB of float32: far above any cache
    const Tensor from = random_tensor(ctx, {n}, DType::kFloat32, 1);
    Tensor to = ctx.tensor({n});
    return 2.0 * static_cast<double>(from.bytes_size()) / queued_seconds(ctx, effort, [&](int) { ctx.copy(from, to); });
  });
  for (const Math math : {Math::kIeee, Math::kTf32}) {
    report.number(math == Math::kTf32 ? "ceiling.mma_tf32" : "ceiling.mma_bf16", "FLOP/s", [&] {
      const unsigned blocks = tiny ? 1 : 132 * 16;
      const int rounds = tiny ? 2 : 2048;
      Tensor result = ctx.tensor({blocks, 256});
      return kernels.mma_flops(blocks, rounds, math) /
             graph_seconds(ctx, effort, [&](int) { kernels.mma(ctx, blocks, rounds, math, result); });
    });
  }
  report.number("ceiling.graph_node_gap", "s", [&] {
    const auto nodes = [&](int count) {
      return graph_seconds(ctx, effort, [&](int) {
        for (int i = 0; i < count; ++i) kernels.empty(ctx);
      });
    };
    return (nodes(100) - nodes(10)) / 90;  // the cost of starting a graph falls out
  });
  report.number("ceiling.launch_device", "s", [&] { return queued_seconds(ctx, effort, [&](int) { kernels.empty(ctx); }); });
  report.number("ceiling.launch_host", "s", [&] { return host_seconds(ctx, effort, [&](int) { kernels.empty(ctx); }); });
}

}  // namespace sutura::bench
