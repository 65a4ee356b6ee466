#include "core/failpoint.h"

#ifdef SUTURA_FAILPOINTS
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>

namespace sutura {

void failpoint(std::string_view name) {
  static const std::string armed = [] {
    const char* e = std::getenv("SUTURA_FAILPOINT");
    return std::string(e ? e : "");
  }();
  static std::atomic<int> passes{0};
  const auto colon = armed.find(':');
  if (colon == std::string::npos || armed.substr(0, colon) != name) return;
  if (++passes == std::atoi(armed.c_str() + colon + 1)) std::raise(SIGKILL);
}

}  // namespace sutura
#endif
