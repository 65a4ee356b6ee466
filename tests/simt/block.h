#pragma once
/// Inside the executor: one block of threads that is being run. Kernels see simt.h only.
#include <cstdint>
#include <exception>
#include <functional>
#include <vector>

#include "device_memory.h"
#include "fiber.h"
#include "kernels/cuda/simt.h"
#include "shared_memory.h"

namespace sutura::executor {

constexpr unsigned kWarp = 32;
constexpr std::uint32_t kAllLanes = 0xffffffffu;

/// One thread of the block. It has a stack from its first instruction to its last.
struct Lane {
  Left left;
  Stack* stack = nullptr;
  unsigned thread = 0;
  std::size_t next_shared = 0;
  AsyncCopies copies;
};

/// Where in the kernel threads wait for each other: all must wait at the same place.
struct Site {
  const char* what = nullptr;
  unsigned line = 0;
  bool operator==(const Site&) const = default;
};

/// 32 lanes. A lane is in one of the masks, or runs. The last lane to arrive at a collective computes it for all.
struct Warp {
  std::uint32_t ready, at_collective, at_barrier, done;
  Site collective;
  // What lanes bring to a collective and take from it. A result stays until every lane has arrived at the next one.
  std::uint64_t given[kWarp], taken[kWarp];
  unsigned from[kWarp];
  std::uint32_t bits, voted;
  const void* rows[kWarp];
  std::uint32_t matrix[kWarp][4];
  alignas(32) float a[16][16];
  alignas(32) float b[16][8];
  alignas(32) float product[16][8];
};

struct Block {
  std::vector<Lane> lanes;
  std::vector<Warp> warps;
  std::vector<unsigned> order;  // warps run in this order, each as far as it can
  std::size_t turn = 0;
  Lane* running = nullptr;
  Left executor;
  const std::function<void()>* body = nullptr;
  std::exception_ptr failure;
  Site barrier;
  bool any = false, any_before = false;  // block_any(): of the barrier that fills, of the one before
  SharedMemory shared;
  std::vector<simt::MemoryRange> read;  // allocations that asynchronous copies of this launch came from

  Warp& warp() { return warps[running->thread / kWarp]; }
  unsigned lane() const { return running->thread % kWarp; }
};

/// The block whose threads this host thread runs.
extern constinit thread_local Block* block;

/// The running lane arrives at a collective of its warp: true for the last one, which goes on at once; the others come back
/// when it has arrived.
bool arrive(Site site);

}  // namespace sutura::executor
