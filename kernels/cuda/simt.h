#pragma once
/// The whole CUDA vocabulary that kernels use. Under nvcc it is CUDA. Under g++ a kernel is plain C++: every thread of a block
/// is a fiber of the host SIMT executor (tests/simt), so that the same source runs and is tested without a GPU.
///
/// Rules for kernels, so that both builds mean the same:
///  - blocks are one-dimensional, a multiple of 32 threads up to 1024; all 32 lanes of a warp call its collectives;
///  - shared memory through SUTURA_SHARED and SUTURA_DYNAMIC_SHARED only, at the top level of the kernel;
///  - no inline assembly and no CUDA intrinsic that is not named here; no waiting for another block;
///  - launches through launch() (kernels/cuda/launch.h).
#include <cstdint>

#include "core/dtype.h"

#if defined(__CUDACC__)

#include <cuda_runtime.h>

/// `name` is a reference to the block's array T[count].
#define SUTURA_SHARED(T, name, count) __shared__ T name[count]
/// `name` points to the launch's dynamic shared memory, 128-byte aligned.
#define SUTURA_DYNAMIC_SHARED(T, name)                              \
  extern __shared__ __align__(128) unsigned char sutura_dynamic_[]; \
  T* name = reinterpret_cast<T*>(sutura_dynamic_)
#define SUTURA_UNROLL _Pragma("unroll")
#define SUTURA_NO_UNROLL _Pragma("unroll 1")

namespace sutura {

__device__ __forceinline__ unsigned lane_id() { return threadIdx.x & 31u; }

/// Lane `from`'s value; lane ^ mask's; lane + delta's (own value beyond the warp). T of 4 or 8 bytes.
template <class T>
__device__ __forceinline__ T warp_shuffle(T v, unsigned from) {
  return __shfl_sync(0xffffffffu, v, static_cast<int>(from));
}
template <class T>
__device__ __forceinline__ T warp_shuffle_xor(T v, unsigned mask) {
  return __shfl_xor_sync(0xffffffffu, v, static_cast<int>(mask));
}
template <class T>
__device__ __forceinline__ T warp_shuffle_down(T v, unsigned delta) {
  return __shfl_down_sync(0xffffffffu, v, delta);
}
/// Bit i: lane i's predicate.
__device__ __forceinline__ std::uint32_t warp_ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }
__device__ __forceinline__ void warp_sync() { __syncwarp(); }
/// Barrier of the block.
__device__ __forceinline__ void block_sync() { __syncthreads(); }
/// Barrier; true for all threads if any thread's predicate is true.
__device__ __forceinline__ bool block_any(bool predicate) { return __syncthreads_or(predicate) != 0; }

/// On integers, whose sums do not depend on the order. No kernel needs one so far: they are part of the vocabulary so that one may.
__device__ __forceinline__ unsigned atomic_add(unsigned* p, unsigned v) { return atomicAdd(p, v); }
__device__ __forceinline__ unsigned atomic_or(unsigned* p, unsigned v) { return atomicOr(p, v); }

// Assembly that touches memory names it as clobbered: `volatile` alone orders it with other volatile assembly, not with the plain
// loads and stores of shared memory and the barriers around it.

/// Starts a copy of 16 bytes from global to shared memory, both 16-byte aligned; with valid = false 16 zero bytes are written
/// and `from` is not read (but must be a valid address). Lands when a wait covers its group.
__device__ __forceinline__ void copy_async_16(void* to, const void* from, bool valid = true) {
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared), "l"(from), "r"(bytes) : "memory");
}
/// Closes this thread's group of copies (an empty group counts).
__device__ __forceinline__ void copy_async_commit() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
/// Waits until at most kPending of this thread's groups are still under way. Other threads' copies need a block_sync() too.
template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kPending) : "memory");
}

/// Four 8x8 matrices of 16-bit elements from shared memory: lane 8 i + r names row r of matrix i (16 bytes, aligned); register
/// i of lane l receives elements 2 (l % 4) and 2 (l % 4) + 1 of row l / 4 of matrix i. PTX ISA, ldmatrix.
__device__ __forceinline__ void load_matrix_x4(std::uint32_t (&r)[4], const void* row) {
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared)
               : "memory");
}
/// As load_matrix_x4, each matrix transposed on the way.
__device__ __forceinline__ void load_matrix_x4_transposed(std::uint32_t (&r)[4], const void* row) {
  const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared)
               : "memory");
}

/// d (16x8, float32) += a (16x16, bf16, row major) * b (16x8, bf16, column major). Fragments of PTX ISA, mma.m16n8k16:
/// with g = lane / 4 and t = lane % 4, a[0] holds row g, columns 2t and 2t + 1; a[1] row g + 8; a[2] row g, columns + 8; a[3]
/// row g + 8, columns + 8; b[0] rows 2t and 2t + 1 of column g; b[1] rows + 8; d[0], d[1] row g, columns 2t and 2t + 1; d[2],
/// d[3] row g + 8. The lower half of a register is the lower index.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/// d (16x8, float32) += a (16x8, tf32, row major) * b (8x8, tf32, column major), mma.m16n8k8: a[0] row g, column t; a[1] row
/// g + 8; a[2] row g, column t + 4; a[3] row g + 8, column t + 4; b[0] row t of column g, b[1] row t + 4; d as in mma_bf16.
/// Operands are float32 bits rounded by to_tf32().
__device__ __forceinline__ void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/// float32 rounded to tf32 (10 fraction bits, nearest, ties away from zero), as float32 bits.
__device__ __forceinline__ std::uint32_t to_tf32(float v) {
  std::uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(bits) : "f"(v));
  return bits;
}

/// Rounded once each, never contracted: for code whose bits must equal the CPU's.
__device__ __forceinline__ double exact_mul(double a, double b) { return __dmul_rn(a, b); }
__device__ __forceinline__ double exact_add(double a, double b) { return __dadd_rn(a, b); }
__device__ __forceinline__ double exact_div(double a, double b) { return __ddiv_rn(a, b); }
__device__ __forceinline__ double exact_sqrt(double a) { return __dsqrt_rn(a); }
__device__ __forceinline__ float exact_mul(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float exact_add(float a, float b) { return __fadd_rn(a, b); }
/// a * b + c, rounded once.
__device__ __forceinline__ float fused_multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ __forceinline__ unsigned count_ones(std::uint32_t v) { return static_cast<unsigned>(__popc(v)); }
/// bits of (high:low) << shift, upper word: a rotation where high = low.
__device__ __forceinline__ std::uint32_t rotate_left(std::uint32_t v, unsigned by) { return __funnelshift_l(v, v, by); }

}  // namespace sutura

#else  // the host SIMT executor

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>

// NOLINTBEGIN(bugprone-reserved-identifier,bugprone-macro-parentheses): CUDA's own words, and names that a macro declares
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)
#define __constant__ static const
#define SUTURA_SHARED(T, name, count) auto& name = ::sutura::executor::shared_array<T, (count)>()
#define SUTURA_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::sutura::executor::dynamic_shared())
#define SUTURA_UNROLL
#define SUTURA_NO_UNROLL
// NOLINTEND(bugprone-reserved-identifier,bugprone-macro-parentheses)

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  // NOLINTNEXTLINE(google-explicit-constructor): a number is a grid, as in CUDA
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};

/// What the executor does for a kernel (tests/simt). Not in sutura::simt, where kernels look for names first.
namespace sutura::executor {

/// Where the running thread is; set by the executor.
struct Position {
  uint3 thread{}, block{};
  dim3 block_dim, grid_dim;
};
extern constinit thread_local Position here;

void* shared_storage(std::size_t bytes, std::size_t alignment);  ///< the block's next static array, the same for all threads
void* dynamic_shared();
template <class T, std::size_t kCount>
T (&shared_array())
[kCount] {
  return *static_cast<T(*)[kCount]>(shared_storage(sizeof(T) * kCount, alignof(T)));
}

// `line` is the caller's: threads that wait for each other in different lines are refused.
void barrier(unsigned line);
bool barrier_or(bool predicate, unsigned line);
void warp_barrier(unsigned line);
std::uint64_t exchange(std::uint64_t v, unsigned from, unsigned line);  ///< lane `from`'s v; all lanes of the warp call it
std::uint32_t ballot(bool predicate, unsigned line);
void copy_async(void* to, const void* from, std::size_t bytes, bool valid);
void copy_async_commit();
void copy_async_wait(int pending);
void load_matrix_x4(std::uint32_t (&r)[4], const void* row, bool transposed, unsigned line);
void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], unsigned line);
void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], unsigned line);

template <class T>
T exchange_value(T v, unsigned from, unsigned line) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &v, sizeof v);
  bits = exchange(bits, from, line);
  std::memcpy(&v, &bits, sizeof v);
  return v;
}

}  // namespace sutura::executor

#define threadIdx (::sutura::executor::here.thread)
#define blockIdx (::sutura::executor::here.block)
#define blockDim (::sutura::executor::here.block_dim)
#define gridDim (::sutura::executor::here.grid_dim)

namespace sutura {

inline unsigned lane_id() { return threadIdx.x & 31u; }
template <class T>
T warp_shuffle(T v, unsigned from, unsigned line = __builtin_LINE()) {
  return executor::exchange_value(v, from & 31u, line);
}
template <class T>
T warp_shuffle_xor(T v, unsigned mask, unsigned line = __builtin_LINE()) {
  return executor::exchange_value(v, (lane_id() ^ mask) & 31u, line);
}
template <class T>
T warp_shuffle_down(T v, unsigned delta, unsigned line = __builtin_LINE()) {
  return executor::exchange_value(v, lane_id() + delta < 32u ? lane_id() + delta : lane_id(), line);
}
inline std::uint32_t warp_ballot(bool predicate, unsigned line = __builtin_LINE()) { return executor::ballot(predicate, line); }
inline void warp_sync(unsigned line = __builtin_LINE()) { executor::warp_barrier(line); }
inline void block_sync(unsigned line = __builtin_LINE()) { executor::barrier(line); }
inline bool block_any(bool predicate, unsigned line = __builtin_LINE()) { return executor::barrier_or(predicate, line); }
inline unsigned atomic_add(unsigned* p, unsigned v) {
  const unsigned old = *p;
  *p = old + v;
  return old;
}
inline unsigned atomic_or(unsigned* p, unsigned v) {
  const unsigned old = *p;
  *p = old | v;
  return old;
}
inline void copy_async_16(void* to, const void* from, bool valid = true) { executor::copy_async(to, from, 16, valid); }
inline void copy_async_commit() { executor::copy_async_commit(); }
template <int kPending>
void copy_async_wait() {
  executor::copy_async_wait(kPending);
}
inline void load_matrix_x4(std::uint32_t (&r)[4], const void* row, unsigned line = __builtin_LINE()) {
  executor::load_matrix_x4(r, row, false, line);
}
inline void load_matrix_x4_transposed(std::uint32_t (&r)[4], const void* row, unsigned line = __builtin_LINE()) {
  executor::load_matrix_x4(r, row, true, line);
}
inline void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], unsigned line = __builtin_LINE()) {
  executor::mma_bf16(d, a, b, line);
}
inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], unsigned line = __builtin_LINE()) {
  executor::mma_tf32(d, a, b, line);
}
inline std::uint32_t to_tf32(float v) {
  const auto bits = std::bit_cast<std::uint32_t>(v);
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;  // infinity and NaN as they are
  return (bits + 0x1000u) & 0xffffe000u;
}
inline double exact_mul(double a, double b) { return a * b; }
inline double exact_add(double a, double b) { return a + b; }
inline double exact_div(double a, double b) { return a / b; }
inline double exact_sqrt(double a) { return std::sqrt(a); }
inline float exact_mul(float a, float b) { return a * b; }
inline float exact_add(float a, float b) { return a + b; }
inline float fused_multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
inline unsigned count_ones(std::uint32_t v) { return static_cast<unsigned>(std::popcount(v)); }
inline std::uint32_t rotate_left(std::uint32_t v, unsigned by) { return std::rotl(v, static_cast<int>(by)); }

}  // namespace sutura

#endif
