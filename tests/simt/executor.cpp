// The host SIMT executor: every thread of a block is a fiber; warps run one after another in random order, each as far as it
// can. First version: the rules and checks that a kernel meets are completed in further files of this folder.
#include "executor.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "core/error.h"
#include "kernels/cuda/launch.h"

namespace sutura::simt {

thread_local Position here;

namespace {

constexpr std::size_t kStackBytes = 96 * 1024;
constexpr unsigned kWarp = 32;

enum class State : std::uint8_t { kReady, kAtBarrier, kAtWarp, kDone };

struct Copy {
  void* to;
  unsigned char bytes[16];
  std::size_t size;
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<char[]> stack;
  State state = State::kReady;
  unsigned thread = 0;
  std::size_t next_shared = 0;
  std::vector<Copy> open;
  std::vector<std::vector<Copy>> groups;
};

struct Warp {
  std::uint64_t values[kWarp];
  std::uint32_t registers[kWarp][6];
  float sums[kWarp][4];
  const void* rows[kWarp];
};

struct SharedArray {
  std::unique_ptr<unsigned char[]> memory;
  std::size_t bytes;
};

struct Block {
  std::vector<Fiber> fibers;
  std::vector<Warp> warps;
  std::vector<SharedArray> shared;
  std::unique_ptr<unsigned char[]> dynamic;
  ucontext_t scheduler{};
  Fiber* running = nullptr;
  bool any = false;
  const std::function<void()>* body = nullptr;
};
thread_local Block* block = nullptr;
thread_local std::uint32_t random_state = 1;

unsigned random_below(unsigned n) {
  random_state = random_state * 1664525u + 1013904223u;
  return (random_state >> 8) % n;
}

void yield(State state) {
  Fiber* me = block->running;
  me->state = state;
  swapcontext(&me->context, &block->scheduler);
}

void fiber_main() {
  (*block->body)();
  block->running->state = State::kDone;
}

Warp& warp() { return block->warps[here.thread.x / kWarp]; }

void resume(Fiber& f) {
  block->running = &f;
  here.thread = {f.thread, 0, 0};
  swapcontext(&block->scheduler, &f.context);
}

void run_block(const char* kernel) {
  Block& b = *block;
  const auto n = static_cast<unsigned>(b.fibers.size()), warps = n / kWarp;
  for (Fiber& f : b.fibers) {
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.get();
    f.context.uc_stack.ss_size = kStackBytes;
    f.context.uc_link = &b.scheduler;
    makecontext(&f.context, fiber_main, 0);
    f.state = State::kReady;
    f.next_shared = 0;
    f.open.clear();
    f.groups.clear();
  }
  for (SharedArray& s : b.shared) std::memset(s.memory.get(), 0xff, s.bytes);
  std::vector<unsigned> order(warps);
  for (unsigned w = 0; w < warps; ++w) order[w] = w;
  for (;;) {
    for (unsigned w = warps; w > 1; --w) std::swap(order[w - 1], order[random_below(w)]);
    for (const unsigned w : order) {
      for (bool moved = true; moved;) {
        moved = false;
        unsigned waiting = 0, live = 0;
        const unsigned first = random_below(kWarp);
        for (unsigned k = 0; k < kWarp; ++k) {
          Fiber& f = b.fibers[w * kWarp + (first + k) % kWarp];
          if (f.state != State::kReady) continue;
          resume(f);
          moved = true;
        }
        for (unsigned k = 0; k < kWarp; ++k) {
          const State s = b.fibers[w * kWarp + k].state;
          live += s != State::kDone;
          waiting += s == State::kAtWarp;
        }
        if (waiting == kWarp) {
          for (unsigned k = 0; k < kWarp; ++k) b.fibers[w * kWarp + k].state = State::kReady;
          moved = true;
        } else if (waiting > 0 && !moved) {
          throw Error(Errc::kDevice, std::string(kernel) + ": a warp collective was reached by " + std::to_string(waiting) + " of 32 lanes");
        }
      }
    }
    std::size_t done = 0;
    for (const Fiber& f : b.fibers) done += f.state == State::kDone;
    if (done == n) return;
    if (done > 0)
      throw Error(Errc::kDevice, std::string(kernel) + ": a barrier was reached by " + std::to_string(n - done) + " of " + std::to_string(n) + " threads");
    for (Fiber& f : b.fibers) f.state = State::kReady;
  }
}

}  // namespace

void seed_schedule(std::uint32_t seed) { random_state = seed * 2654435761u + 1; }

void run_now(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes, const std::function<void()>& body) {
  if (threads == 0 || threads % kWarp != 0 || threads > 1024)
    throw Error(Errc::kDevice, std::string(kernel) + ": " + std::to_string(threads) + " threads a block");
  Block b;
  block = &b;
  b.fibers.resize(threads);
  b.warps.resize(threads / kWarp);
  for (unsigned t = 0; t < threads; ++t) {
    b.fibers[t].thread = t;
    b.fibers[t].stack = std::make_unique<char[]>(kStackBytes);
  }
  b.dynamic.reset(new unsigned char[shared_bytes + 128]);
  b.body = &body;
  here.block_dim = dim3(threads);
  here.grid_dim = grid;
  try {
    for (unsigned z = 0; z < grid.z; ++z)
      for (unsigned y = 0; y < grid.y; ++y)
        for (unsigned x = 0; x < grid.x; ++x) {
          here.block = {x, y, z};
          std::memset(b.dynamic.get(), 0xff, shared_bytes + 128);
          run_block(kernel);
        }
  } catch (...) {
    block = nullptr;
    throw;
  }
  block = nullptr;
}

void* shared_storage(std::size_t bytes, std::size_t) {
  Fiber& f = *block->running;
  if (f.next_shared == block->shared.size()) {
    block->shared.push_back({std::unique_ptr<unsigned char[]>(new unsigned char[bytes]), bytes});
    std::memset(block->shared.back().memory.get(), 0xff, bytes);
  }
  SharedArray& s = block->shared[f.next_shared++];
  require(s.bytes == bytes, Errc::kDevice, "threads of a block declare different shared arrays");
  return s.memory.get();
}

void* dynamic_shared() {
  const auto at = reinterpret_cast<std::uintptr_t>(block->dynamic.get());
  return reinterpret_cast<void*>((at + 127) & ~std::uintptr_t{127});
}

void barrier() { yield(State::kAtBarrier); }
bool barrier_or(bool predicate) {
  barrier();
  block->any = false;
  barrier();
  if (predicate) block->any = true;
  barrier();
  return block->any;
}
void warp_barrier() { yield(State::kAtWarp); }

std::uint64_t exchange(std::uint64_t v, unsigned from) {
  warp().values[here.thread.x % kWarp] = v;
  yield(State::kAtWarp);
  const std::uint64_t got = warp().values[from];
  yield(State::kAtWarp);
  return got;
}
std::uint32_t ballot(bool predicate) {
  warp().values[here.thread.x % kWarp] = predicate;
  yield(State::kAtWarp);
  std::uint32_t bits = 0;
  for (unsigned l = 0; l < kWarp; ++l) bits |= static_cast<std::uint32_t>(warp().values[l]) << l;
  yield(State::kAtWarp);
  return bits;
}

// A copy lands as late as the rules allow: at the wait that covers it. Until then its target is poison.
void copy_async(void* to, const void* from, std::size_t bytes, bool valid) {
  Copy c{to, {}, bytes};
  if (valid) std::memcpy(c.bytes, from, bytes);
  std::memset(to, 0xff, bytes);
  block->running->open.push_back(c);
}
void copy_async_commit() {
  Fiber& f = *block->running;
  f.groups.push_back(std::move(f.open));
  f.open.clear();
}
void copy_async_wait(int pending) {
  auto& groups = block->running->groups;
  while (static_cast<int>(groups.size()) > pending) {
    for (const Copy& c : groups.front()) std::memcpy(c.to, c.bytes, c.size);
    groups.erase(groups.begin());
  }
}

void load_matrix_x4(std::uint32_t (&r)[4], const void* row, bool transposed) {
  const unsigned lane = here.thread.x % kWarp;
  Warp& w = warp();
  w.rows[lane] = row;
  yield(State::kAtWarp);
  for (unsigned m = 0; m < 4; ++m) {
    std::uint16_t pair[2];
    for (unsigned e = 0; e < 2; ++e) {
      const unsigned i = transposed ? 2 * (lane % 4) + e : lane / 4, j = transposed ? lane / 4 : 2 * (lane % 4) + e;
      std::memcpy(&pair[e], static_cast<const char*>(w.rows[8 * m + i]) + 2 * j, 2);
    }
    r[m] = static_cast<std::uint32_t>(pair[0]) | static_cast<std::uint32_t>(pair[1]) << 16;
  }
  yield(State::kAtWarp);
}

namespace {
float lower(std::uint32_t r) { return to_float(bf16{static_cast<std::uint16_t>(r & 0xffffu)}); }
float upper(std::uint32_t r) { return to_float(bf16{static_cast<std::uint16_t>(r >> 16)}); }

/// d += a b with all 32 lanes' fragments; K = 16 (bf16 pairs) or 8 (tf32).
template <int kDepth>
void multiply(Warp& w) {
  float a[16][kDepth], b[kDepth][8];
  for (unsigned l = 0; l < kWarp; ++l) {
    const unsigned g = l / 4, t = l % 4;
    for (unsigned r = 0; r < 4; ++r) {
      const unsigned row = g + (r & 1 ? 8 : 0);
      if constexpr (kDepth == 16) {
        const unsigned column = 2 * t + (r & 2 ? 8 : 0);
        a[row][column] = lower(w.registers[l][r]);
        a[row][column + 1] = upper(w.registers[l][r]);
      } else {
        a[row][t + (r & 2 ? 4 : 0)] = std::bit_cast<float>(w.registers[l][r] & 0xffffe000u);
      }
    }
    for (unsigned r = 0; r < 2; ++r) {
      if constexpr (kDepth == 16) {
        b[2 * t + 8 * r][g] = lower(w.registers[l][4 + r]);
        b[2 * t + 8 * r + 1][g] = upper(w.registers[l][4 + r]);
      } else {
        b[t + 4 * r][g] = std::bit_cast<float>(w.registers[l][4 + r] & 0xffffe000u);
      }
    }
  }
  float d[16][8] = {};
  for (int i = 0; i < 16; ++i)
    for (int k = 0; k < kDepth; ++k)
      for (int j = 0; j < 8; ++j) d[i][j] += a[i][k] * b[k][j];
  for (unsigned l = 0; l < kWarp; ++l)
    for (unsigned r = 0; r < 4; ++r) w.sums[l][r] += d[l / 4 + (r & 2 ? 8 : 0)][2 * (l % 4) + (r & 1)];
}

template <int kDepth>
void mma(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  const unsigned lane = here.thread.x % kWarp;
  Warp& w = warp();
  std::memcpy(w.registers[lane], a, sizeof a);
  std::memcpy(w.registers[lane] + 4, b, sizeof b);
  std::memcpy(w.sums[lane], d, sizeof d);
  w.values[lane] = 0;
  yield(State::kAtWarp);
  if (w.values[0] == 0) {  // the first lane to come back computes for all
    multiply<kDepth>(w);
    w.values[0] = 1;
  }
  std::memcpy(d, w.sums[lane], sizeof d);
  yield(State::kAtWarp);
}
}  // namespace

void mma_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) { mma<16>(d, a, b); }
void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) { mma<8>(d, a, b); }

}  // namespace sutura::simt
