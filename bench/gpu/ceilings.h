#pragma once
#include "bench/gpu/measure.h"

#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void empty_kernel_launch(Context& ctx);
/// `blocks` blocks of 256 threads multiply fragments `rounds` times each and touch no memory but the result, [blocks, 256].
void mma_loop_launch(Context& ctx, unsigned blocks, int rounds, Math math, Tensor& result);
/// Floating-point operations of that launch.
double mma_loop_flops(unsigned blocks, int rounds, Math math);
}  // namespace sutura::SUTURA_DEVICE
#endif

namespace sutura::bench {

/// The kernels above, of whichever device this program has.
struct CeilingKernels {
  void (*empty)(Context&);
  void (*mma)(Context&, unsigned, int, Math, Tensor&);
  double (*mma_flops)(unsigned, int, Math);
};

/// Copy bandwidth, product rate of mma.sync alone, gap between nodes of a graph, cost of a launch.
void measure_ceilings(Report& report, const CeilingKernels& kernels);

}  // namespace sutura::bench
