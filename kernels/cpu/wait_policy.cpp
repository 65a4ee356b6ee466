#include "kernels/cpu/wait_policy.h"

#include <unistd.h>

#include <cstdlib>

namespace sutura {

void sleep_at_barriers(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  if (::setenv("OMP_WAIT_POLICY", "passive", 1) != 0) return;
  ::execv("/proc/self/exe", argv);  // on failure the program simply goes on as it is
}

}  // namespace sutura
