#pragma once
#include "core/dtype.h"
#include "kernels/cuda/stream.h"

/// The mainloop of the kernels' matrix products (kernels/cuda/gemm), as it is and as its mutants (CMakeLists.txt).
/// kDepth: c (m, n) = a (m, k) b (n, k)^T; kRows: c (m, n) = a (k, m)^T b (k, n). All in device memory, 16-byte aligned rows.
#define SUTURA_EACH_MUTANT(X) \
  X(mutant_sync) X(mutant_wait) X(mutant_read) X(mutant_write) X(mutant_fragment) X(mutant_transposed) X(mutant_swizzle) X(mutant_shared)

namespace sutura::testing {
enum class Layout { kDepth, kRows };
}

#define SUTURA_DECLARE(device)                                                                                                     \
  namespace sutura::device {                                                                                                       \
  void product(testing::Layout layout, const bf16* a, const bf16* b, float* c, int m, int n, int k, Stream stream);                \
  }
SUTURA_DECLARE(simt)
SUTURA_DECLARE(native)
SUTURA_EACH_MUTANT(SUTURA_DECLARE)
#undef SUTURA_DECLARE
