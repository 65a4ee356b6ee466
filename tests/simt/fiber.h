#pragma once
#include <cstddef>

#if !defined(__x86_64__) || defined(SUTURA_SIMT_UCONTEXT)
#define SUTURA_SIMT_UCONTEXT 1
#include <ucontext.h>
#endif

namespace sutura::executor {

/// Memory for one fiber's frames, with an unreadable page below it: an overflow stops the program at once.
struct Stack {
  char* bottom;
  std::size_t bytes;
  void* thread_sanitizer = nullptr;  // what runs on it, for the thread sanitizer only
};

/// A stack of this thread's store; what is given back is handed out again. Errors: kResources.
Stack* take_stack();
void give_stack(Stack* stack);
/// Gives back a stack whose frames were never left: a kernel that was stopped.
void give_abandoned_stack(Stack* stack);

/// Where some code was left, to go on there later. Opaque but for its owner.
struct Left {
#if defined(SUTURA_SIMT_UCONTEXT)
  ucontext_t context;
#else
  void* stack_pointer = nullptr;
#endif
  // For sanitizers only: bounds and fake stack, who was left.
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  void* fake_stack = nullptr;
  void* thread_sanitizer = nullptr;
};

/// `at` becomes the start of `entry` on `stack`. `entry` calls entered() first, and never returns: it ends in leave_for_good().
void prepare(Left& at, Stack& stack, void (*entry)());
void entered();
/// Leaves here, goes on at `to`; returns when somebody goes on at `from`.
void switch_to(Left& from, Left& to);
[[noreturn]] void leave_for_good(Left& to);

}  // namespace sutura::executor
