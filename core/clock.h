#pragma once
#include <chrono>

namespace sutura {

/// Absolute deadline on the steady clock; wall-clock jumps have no effect.
using Deadline = std::chrono::steady_clock::time_point;

inline Deadline deadline_in(std::chrono::milliseconds d) { return std::chrono::steady_clock::now() + d; }
inline Deadline no_deadline() { return Deadline::max(); }
/// Seconds since an earlier point.
inline double seconds_since(Deadline start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace sutura
