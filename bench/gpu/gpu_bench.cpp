#include "bench/gpu/gpu_bench.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>

#include "bench/gpu/convolutions.h"
#include "bench/gpu/guard_speed.h"
#include "bench/gpu/tail_step.h"
#include "core/error.h"
#include "kernels/device_ops.h"

namespace sutura::bench {

int gpu_bench(int argc, char** argv, const CeilingKernels& kernels, Effort effort) {
  const std::string_view part = argc > 1 ? argv[1] : "";
  constexpr std::string_view kParts[] = {"device", "ceilings", "convolutions", "tails", "guard"};
  if (argc > 3 || std::ranges::find(kParts, part) == std::end(kParts) || (argc == 3 && std::string_view(argv[2]) != "--quick")) {
    std::fprintf(stderr, "usage: %s device|ceilings|convolutions|tails|guard [--quick]\n", argv[0]);
    return 2;
  }
  if (argc == 3 && effort == Effort::kFull) effort = Effort::kQuick;
  Report report(effort);
  try {
    const Context ctx(Backend::kNative);
    if (part == "device") {
      report.text("device.description", ctx.device().runtime->describe());
    } else if (part == "ceilings") {
      measure_ceilings(report, kernels);
    } else if (part == "convolutions") {
      measure_convolutions(report);
    } else if (part == "tails") {
      measure_tails(report);
    } else {
      measure_guard(report);
    }
  } catch (const Error& e) {
    std::fprintf(stderr, "sutura-gpu-bench: %s\n", e.what());
    return 3;
  }
  return report.failures() == 0 ? 0 : 1;
}

}  // namespace sutura::bench
