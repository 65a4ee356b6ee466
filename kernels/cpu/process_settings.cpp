#include "kernels/cpu/process_settings.h"

#include <malloc.h>
#include <unistd.h>

#include <cstdlib>

namespace sutura {

void settle_process(char** argv) {
  constexpr int kLargestBlock = 1 << 30;
  ::mallopt(M_MMAP_THRESHOLD, kLargestBlock);
  ::mallopt(M_TRIM_THRESHOLD, kLargestBlock);
  ::mallopt(M_TOP_PAD, 64 << 20);
  ::mallopt(M_ARENA_MAX, 1);
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (::setenv("OMP_WAIT_POLICY", "passive", 1) != 0 || ::setenv("GOMP_SPINCOUNT", "20000", 0) != 0) return;
  ::execv("/proc/self/exe", argv);  // on failure the program simply goes on as it is
}

}  // namespace sutura
