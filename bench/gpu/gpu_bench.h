#pragma once
#include "bench/gpu/ceilings.h"

namespace sutura::bench {

/// main() of the measuring programs: PART [--quick]. Exit status 0: measured; 1: something failed and says so; 2: usage; 3: this
/// machine has no GPU to measure.
int gpu_bench(int argc, char** argv, const CeilingKernels& kernels, Effort effort);

}  // namespace sutura::bench
