#pragma once
#include <string_view>

namespace sutura {

/// A named kill point. In builds with SUTURA_FAILPOINTS the process kills itself (SIGKILL) at the N-th pass of the point
/// named in the environment, SUTURA_FAILPOINT="name:N" (N from 1); in all other builds this is nothing.
#ifdef SUTURA_FAILPOINTS
void failpoint(std::string_view name);
#else
inline void failpoint(std::string_view) {}
#endif

}  // namespace sutura
