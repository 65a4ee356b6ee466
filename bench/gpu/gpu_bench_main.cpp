#include "bench/gpu/gpu_bench.h"

int main(int argc, char** argv) {
  using namespace sutura;
  return bench::gpu_bench(argc, argv, {native::empty_kernel_launch, native::mma_loop_launch, native::mma_loop_flops}, bench::Effort::kFull);
}
