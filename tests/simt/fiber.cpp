// Fibers: a stack switch in 20 instructions. swapcontext() does the same with two system calls for the signal mask, which no
// kernel changes; it serves on processors other than x86-64.
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace sutura::executor {

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kStackBytes = 256 * 1024;  // red zones around every variable
#else
constexpr std::size_t kStackBytes = 64 * 1024;
#endif

class StackStore {
 public:
  ~StackStore() {
    for (const auto& s : all_) {
#if defined(__SANITIZE_THREAD__)
      if (s->thread_sanitizer != nullptr) __tsan_destroy_fiber(s->thread_sanitizer);
#endif
      munmap(s->bottom - page_, s->bytes + page_);
    }
  }

  Stack* take() {
    if (idle_.empty()) add();
    Stack* stack = idle_.back();
    idle_.pop_back();
    return stack;
  }
  void give(Stack* stack) { idle_.push_back(stack); }

 private:
  void add() {
    void* memory = mmap(nullptr, kStackBytes + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    require(memory != MAP_FAILED, Errc::kResources, "stacks of the SIMT executor: out of memory");
    require(mprotect(memory, page_, PROT_NONE) == 0, Errc::kResources, "stacks of the SIMT executor: no guard page");
    all_.push_back(std::make_unique<Stack>(Stack{static_cast<char*>(memory) + page_, kStackBytes, nullptr}));
    idle_.push_back(all_.back().get());
  }

  const std::size_t page_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<std::unique_ptr<Stack>> all_;
  std::vector<Stack*> idle_;
};
thread_local StackStore store;

#if defined(__SANITIZE_ADDRESS__)
thread_local Left* left_last = nullptr;
#endif

/// Where frames begin. Stacks are page aligned: were all tops, the 32 lanes' frames would fight for the same cache sets.
std::uintptr_t top_of(const Stack& stack) {
  const auto end = reinterpret_cast<std::uintptr_t>(stack.bottom) + stack.bytes;
  const auto colour = reinterpret_cast<std::uintptr_t>(stack.bottom) / stack.bytes % 32;
  return (end - colour * 128) & ~std::uintptr_t{63};
}

}  // namespace

Stack* take_stack() { return store.take(); }
void give_stack(Stack* stack) { store.give(stack); }
void give_abandoned_stack(Stack* stack) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(stack->bottom, stack->bytes);
#endif
  store.give(stack);
}

#if defined(SUTURA_SIMT_UCONTEXT)

namespace {
void enter_context(Left& at, const Stack& stack, void (*entry)()) {
  getcontext(&at.context);
  at.context.uc_stack.ss_sp = stack.bottom;
  at.context.uc_stack.ss_size = top_of(stack) - reinterpret_cast<std::uintptr_t>(stack.bottom);
  at.context.uc_link = nullptr;
  makecontext(&at.context, entry, 0);
}
void swap(Left& from, Left& to) { swapcontext(&from.context, &to.context); }
}  // namespace

#else

// Callee-saved registers of the System V ABI, with the two control words of floating point arithmetic.
extern "C" void sutura_simt_swap(void** leave, void* go_on);
asm(R"(
.pushsection .text
.globl sutura_simt_swap
.type sutura_simt_swap, @function
sutura_simt_swap:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $8, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $8, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size sutura_simt_swap, .-sutura_simt_swap
.popsection
)");

namespace {
void enter_context(Left& at, const Stack& stack, void (*entry)()) {
  constexpr int kRegisters = 6;
  auto* slot = reinterpret_cast<std::uint64_t*>(top_of(stack));
  *--slot = 0;  // no caller: stops who walks the frames, and leaves the alignment that a called function expects
  *--slot = reinterpret_cast<std::uint64_t>(entry);
  for (int r = 0; r < kRegisters; ++r) *--slot = 0;
  std::uint32_t mxcsr = 0;
  std::uint16_t control = 0;
  asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(control));
  *--slot = mxcsr | std::uint64_t{control} << 32;
  at.stack_pointer = slot;
}
void swap(Left& from, Left& to) { sutura_simt_swap(&from.stack_pointer, to.stack_pointer); }
}  // namespace

#endif

namespace {
/// Tells the thread sanitizer who goes on.
void announce([[maybe_unused]] Left& from, [[maybe_unused]] Left& to) {
#if defined(__SANITIZE_THREAD__)
  from.thread_sanitizer = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.thread_sanitizer, 0);
#endif
}
}  // namespace

void prepare(Left& at, Stack& stack, void (*entry)()) {
  enter_context(at, stack, entry);
#if defined(__SANITIZE_THREAD__)
  if (stack.thread_sanitizer != nullptr) __tsan_destroy_fiber(stack.thread_sanitizer);
  at.thread_sanitizer = stack.thread_sanitizer = __tsan_create_fiber(0);
#endif
  at.bottom = stack.bottom;
  at.bytes = stack.bytes;
  at.fake_stack = nullptr;
}

void entered() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &left_last->bottom, &left_last->bytes);
#endif
}

void switch_to(Left& from, Left& to) {
  announce(from, to);
#if defined(__SANITIZE_ADDRESS__)
  left_last = &from;
  __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.bytes);
  swap(from, to);
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#else
  swap(from, to);
#endif
}

void leave_for_good(Left& to) {
  static thread_local Left nowhere;
  announce(nowhere, to);
#if defined(__SANITIZE_ADDRESS__)
  left_last = &nowhere;
  __sanitizer_start_switch_fiber(nullptr, to.bottom, to.bytes);
#endif
  swap(nowhere, to);
  __builtin_unreachable();
}

}  // namespace sutura::executor
