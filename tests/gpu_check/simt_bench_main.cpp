// The measuring program with the host SIMT executor for a GPU: every part runs once on tiny shapes and times nothing.
#include "bench/gpu/gpu_bench.h"
#include "tests/simt/executor.h"

int main(int argc, char** argv) {
  using namespace sutura;
  provide_device(Backend::kNative, simt::table());
  return bench::gpu_bench(argc, argv, {simt::empty_kernel_launch, simt::mma_loop_launch, simt::mma_loop_flops}, bench::Effort::kTiny);
}
