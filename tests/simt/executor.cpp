// The host SIMT executor: every thread of a block is a fiber. Warps run one after another in random order, each as far as it
// can; lanes hand over to each other, so that a collective costs 32 switches.
#include "executor.h"

#include <bit>
#include <cstdlib>
#include <numeric>
#include <string>

#include "block.h"
#include "core/error.h"
#include "kernels/cuda/launch.h"

namespace sutura::executor {

constinit thread_local Position here;
constinit thread_local Block* block = nullptr;

namespace {

thread_local std::uint32_t seed = simt::first_seed();
thread_local std::uint32_t random_state = seed * 2654435761u + 1;

std::uint32_t random_bits() {
  random_state = random_state * 1664525u + 1013904223u;
  return random_state >> 8;
}
unsigned random_below(unsigned n) { return random_bits() % n; }

std::string at(Site s) { return std::string(s.what) + " in line " + std::to_string(s.line); }

void fail(const std::string& text) { block->failure = std::make_exception_ptr(Error(Errc::kDevice, text)); }

/// Any ready lane of w, which leaves the mask.
Lane& take_ready(Warp& w) {
  const unsigned by = random_bits() % kWarp;
  const unsigned lane = (static_cast<unsigned>(std::countr_zero(std::rotr(w.ready, static_cast<int>(by)))) + by) % kWarp;
  w.ready &= ~(1u << lane);
  return block->lanes[static_cast<std::size_t>(&w - block->warps.data()) * kWarp + lane];
}

void shuffle_warps() {
  for (std::size_t w = block->order.size(); w > 1; --w) std::swap(block->order[w - 1], block->order[random_below(static_cast<unsigned>(w))]);
  block->turn = 0;
}

/// No lane can run: the block is over, or its barrier opens, or it never will.
bool open_barrier() {
  Block& b = *block;
  std::size_t waiting = 0;
  for (const Warp& w : b.warps) waiting += static_cast<std::size_t>(std::popcount(w.at_barrier));
  if (waiting == 0) return false;
  if (waiting < b.lanes.size()) {
    fail(at(b.barrier) + " was reached by " + std::to_string(waiting) + " of " + std::to_string(b.lanes.size()) + " threads; the others ended");
    return false;
  }
  for (Warp& w : b.warps) {
    w.ready = w.at_barrier;
    w.at_barrier = 0;
  }
  b.any_before = b.any;
  b.any = false;
  b.barrier = {};
  shuffle_warps();
  return true;
}

/// The lane that runs next; nullptr: the block is over or has failed.
Lane* next_lane() {
  Block& b = *block;
  if (b.failure != nullptr) return nullptr;
  do {
    for (; b.turn < b.order.size(); ++b.turn) {
      Warp& w = b.warps[b.order[b.turn]];
      if (w.ready != 0) return &take_ready(w);
      if (w.at_collective != 0) {
        fail(at(w.collective) + " was reached by " + std::to_string(std::popcount(w.at_collective)) + " of 32 lanes; " +
             std::to_string(std::popcount(w.at_barrier)) + " wait at a barrier, " + std::to_string(std::popcount(w.done)) + " ended");
        return nullptr;
      }
    }
  } while (open_barrier());
  return nullptr;
}

void run_lanes();
/// Where to go on for `next` to run.
Left& place_of(Lane* next) {
  if (next == nullptr) return block->executor;
  block->running = next;
  here.thread.x = next->thread;
  if (next->stack == nullptr) {
    next->stack = take_stack();
    prepare(next->left, *next->stack, run_lanes);
  }
  return next->left;
}

/// Runs other lanes until this one may go on.
void suspend() {
  Lane& me = *block->running;
  Lane* next = next_lane();
  if (next == &me) return;
  switch_to(me.left, place_of(next));
}

void end_lane() {
  Block& b = *block;
  b.warp().done |= 1u << b.lane();
  if (b.running->copies.under_way() && b.failure == nullptr) fail("a thread ended with asynchronous copies that it did not wait for");
}

/// A fiber: a lane to its end, then, on the same stack, lanes that have not begun. A kernel without collectives never switches.
void run_lanes() {
  entered();
  Lane* next = nullptr;
  for (;;) {
    try {
      (*block->body)();
    } catch (...) {  // no exception may leave a fiber
      block->failure = std::current_exception();
    }
    end_lane();
    Lane& me = *block->running;
    Stack* stack = std::exchange(me.stack, nullptr);
    next = next_lane();
    if (next == nullptr || next->stack != nullptr) {
      give_stack(stack);
      break;
    }
    next->stack = stack;
    block->running = next;
    here.thread.x = next->thread;
  }
  leave_for_good(place_of(next));
}

void run_block() {
  Block& b = *block;
  for (Warp& w : b.warps) {
    w.ready = kAllLanes;
    w.at_collective = w.at_barrier = w.done = w.bits = 0;
  }
  for (Lane& lane : b.lanes) {
    lane.next_shared = 0;
    lane.copies.forget();
  }
  b.barrier = {};
  b.any = false;
  b.shared.begin_block();
  shuffle_warps();
  switch_to(b.executor, place_of(next_lane()));
  if (b.failure == nullptr) return b.shared.end_block();
  for (Lane& lane : b.lanes)
    if (Stack* stack = std::exchange(lane.stack, nullptr)) give_abandoned_stack(stack);
  std::rethrow_exception(std::exchange(b.failure, nullptr));
}

/// The block's place in a random permutation of the grid's x: a step that shares no factor with it visits each once.
struct RandomOrder {
  explicit RandomOrder(std::uint64_t n) : size(n), at(random_bits() % n), step(random_bits() % n | 1) {
    while (std::gcd(step, size) != 1) ++step;
  }
  std::uint64_t next() { return at = (at + step) % size; }
  std::uint64_t size, at, step;
};

}  // namespace

bool arrive(Site site) {
  Block& b = *block;
  Warp& w = b.warp();
  if (w.at_collective == 0) {
    w.collective = site;
  } else if (!(w.collective == site)) {
    throw Error(Errc::kDevice, "lanes of a warp wait for each other in different places: " + at(w.collective) + ", " + at(site));
  }
  w.at_collective |= 1u << b.lane();
  if (w.at_collective != kAllLanes) {
    suspend();
    return false;
  }
  w.at_collective = 0;
  w.ready = kAllLanes & ~(1u << b.lane());
  return true;
}

void barrier(unsigned line) { barrier_or(false, line); }

bool barrier_or(bool predicate, unsigned line) {
  Block& b = *block;
  const Site site{"a barrier", line};
  if (b.barrier.what == nullptr) {
    b.barrier = site;
  } else if (!(b.barrier == site)) {
    throw Error(Errc::kDevice, "threads of a block wait for each other in different places: " + at(b.barrier) + ", " + at(site));
  }
  b.any |= predicate;
  b.warp().at_barrier |= 1u << b.lane();
  suspend();
  return b.any_before;
}

void* shared_storage(std::size_t bytes, std::size_t alignment) { return block->shared.array(block->running->next_shared++, bytes, alignment); }
void* dynamic_shared() { return block->shared.dynamic(); }

namespace {
/// Allocations live at least as long as the launch that reads them, so each is looked up once.
bool is_global(const void* p, std::size_t bytes) {
  std::vector<simt::MemoryRange>& known = block->read;
  for (const simt::MemoryRange& r : known)
    if (r.holds(p, bytes)) return true;
  const simt::MemoryRange device = simt::device_memory_around(p), pinned = simt::pinned_memory_around(p);
  known.push_back(device.holds(p, bytes) ? device : pinned);
  return known.back().holds(p, bytes);
}
}  // namespace

void copy_async(void* to, const void* from, std::size_t bytes, bool valid) {
  const auto misaligned = (reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) % bytes;
  require(misaligned == 0, Errc::kDevice, "an asynchronous copy's ends are not aligned to its size");
  require(block->shared.holds(to, bytes), Errc::kDevice, "an asynchronous copy does not go to one shared array");
  require(!valid || is_global(from, bytes), Errc::kDevice, "an asynchronous copy does not come from inside one allocation of device memory");
  block->running->copies.start(to, from, bytes, valid);
}
void copy_async_commit() { block->running->copies.commit(); }
void copy_async_wait(int pending) { block->running->copies.wait(static_cast<std::size_t>(pending)); }

}  // namespace sutura::executor

namespace sutura::simt {

using namespace executor;

std::uint32_t first_seed() {
  static const char* const set = std::getenv("SUTURA_SIMT_SEED");
  return set != nullptr ? static_cast<std::uint32_t>(std::strtoul(set, nullptr, 10)) : 1;
}

void seed_schedule(std::uint32_t s) {
  seed = s;
  random_state = s * 2654435761u + 1;
}

void check_launch(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes) {
  std::string wrong;
  if (threads == 0 || threads % kWarp != 0 || threads > 1024) {
    wrong = std::to_string(threads) + " threads a block; a multiple of 32 up to 1024";
  } else if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    wrong = "a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " + std::to_string(grid.z) + " blocks";
  } else if (shared_bytes > kMaxShared) {
    wrong = std::to_string(shared_bytes) + " bytes of dynamic shared memory; at most " + std::to_string(kMaxShared);
  }
  if (!wrong.empty()) throw Error(Errc::kDevice, "launch of kernel " + std::string(kernel) + ": " + wrong);
}

void run_now(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes, const std::function<void()>& body) {
  thread_local Block kept;  // its memory is used again by every launch
  check_launch(kernel, grid, threads, shared_bytes);
  kept.shared.begin_launch(shared_bytes);
  kept.warps.resize(threads / kWarp);
  kept.lanes.resize(threads);
  for (unsigned t = 0; t < threads; ++t) kept.lanes[t].thread = t;
  kept.order.resize(threads / kWarp);
  std::iota(kept.order.begin(), kept.order.end(), 0u);
  kept.body = &body;
  kept.read.clear();
  here.block_dim = dim3(threads);
  here.grid_dim = grid;
  const struct Running {
    explicit Running(Block& b) { block = &b; }
    ~Running() { block = nullptr; }
  } running(kept);
  RandomOrder order(std::uint64_t{grid.x} * grid.y * grid.z);
  try {
    for (std::uint64_t n = 0; n < order.size; ++n) {
      const std::uint64_t i = order.next();
      here.block = {static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y), static_cast<unsigned>(i / grid.x / grid.y)};
      run_block();
    }
  } catch (Error& e) {
    const uint3 b = here.block;
    throw std::move(e).in("kernel " + std::string(kernel) + ", block " + std::to_string(b.x) + " " + std::to_string(b.y) + " " +
                          std::to_string(b.z) + ", SUTURA_SIMT_SEED=" + std::to_string(seed));
  }
}

}  // namespace sutura::simt
