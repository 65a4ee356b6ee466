#pragma once
#include <cstddef>

namespace sutura::simt {

/// Device and pinned memory of the executor: host memory that knows what it is. Threads: any.
void* allocate(std::size_t bytes);  ///< poisoned, 256-byte aligned. Errors: kResources over the limit of set_memory_limit()
void release(void* memory) noexcept;
void* allocate_pinned(std::size_t bytes);
void release_pinned(void* memory) noexcept;
std::size_t free_bytes();

/// [begin, end); empty: nullptr twice.
struct MemoryRange {
  const unsigned char *begin = nullptr, *end = nullptr;
  bool holds(const void* p, std::size_t bytes) const {
    const auto* at = static_cast<const unsigned char*>(p);
    return at >= begin && at < end && bytes <= static_cast<std::size_t>(end - at);
  }
};
/// The allocation that p points into, if any.
MemoryRange device_memory_around(const void* p);
MemoryRange pinned_memory_around(const void* p);
/// Throws kDevice if something was written just before or behind an allocation, living or released.
void check_guard_bands();

}  // namespace sutura::simt
