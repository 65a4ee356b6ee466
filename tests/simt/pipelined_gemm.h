#pragma once
#include "core/dtype.h"
#include "kernels/cuda/stream.h"

/// C (m, n) = A (m, k) B (n, k)^T in device memory, with float32 sums; k a multiple of 8. As it is, and as its mutants.
#define SUTURA_DECLARE(device)                                                                            \
  namespace sutura::device {                                                                              \
  void pipelined_gemm(const bf16* a, const bf16* b, float* c, int m, int n, int k, Stream stream);        \
  }
SUTURA_DECLARE(simt)
SUTURA_DECLARE(native)
SUTURA_DECLARE(mutant_sync)
SUTURA_DECLARE(mutant_wait)
SUTURA_DECLARE(mutant_read)
SUTURA_DECLARE(mutant_write)
SUTURA_DECLARE(mutant_fragment)
SUTURA_DECLARE(mutant_swizzle)
SUTURA_DECLARE(mutant_shared)
#undef SUTURA_DECLARE
