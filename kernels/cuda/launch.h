#pragma once
#include <cstddef>
#include <string>

#include "core/error.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/stream.h"

#if !defined(__CUDACC__)
#include <functional>
namespace sutura::simt {
/// Runs a kernel's threads block by block (while a stream is captured: records it). Errors: kDevice for what a GPU would
/// refuse or what leaves a kernel wrong: block size, shared memory, divergent barriers, deadlock.
void run(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes, Stream stream, std::function<void()> body);
}  // namespace sutura::simt
#endif

namespace sutura {

/// Starts `kernel` on `grid` blocks of `threads` threads (a multiple of 32) with `shared_bytes` of dynamic shared memory, in
/// order on `stream`. Arguments are copied. Errors: kDevice if the launch is refused.
#if defined(__CUDACC__)
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, unsigned threads, std::size_t shared_bytes, Stream stream, A... arguments) {
  constexpr std::size_t kWithoutAsking = 48 * 1024;
  cudaError_t error = cudaSuccess;
  if (shared_bytes > kWithoutAsking)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  if (error == cudaSuccess) {
    kernel<<<grid, threads, shared_bytes, stream>>>(static_cast<P>(arguments)...);
    error = cudaGetLastError();
  }
  if (error != cudaSuccess) throw Error(Errc::kDevice, std::string("kernel ") + name + ": " + cudaGetErrorString(error));
}
#else
template <class... P, class... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, unsigned threads, std::size_t shared_bytes, Stream stream, A... arguments) {
  simt::run(name, grid, threads, shared_bytes, stream, [=] { kernel(static_cast<P>(arguments)...); });
}
#endif

}  // namespace sutura

/// launch() with the kernel's own name in messages: SUTURA_LAUNCH((relu_kernel<T>), grid, threads, shared_bytes, stream, x, y, n).
#define SUTURA_LAUNCH(kernel, ...) ::sutura::launch(#kernel, kernel, __VA_ARGS__)
