#pragma once
#include <cstddef>

namespace sutura::simt {

/// Device and pinned memory of the executor: host memory that knows what it is. Threads: any.
void* allocate(std::size_t bytes);  ///< poisoned, 256-byte aligned. Errors: kResources over the limit of set_memory_limit()
void release(void* memory) noexcept;
void* allocate_pinned(std::size_t bytes);
void release_pinned(void* memory) noexcept;
std::size_t free_bytes();

/// True if all of [p, p + bytes) lies in one allocation.
bool is_device_memory(const void* p, std::size_t bytes);
bool is_pinned(const void* p, std::size_t bytes);
/// Throws kDevice if something was written just before or behind an allocation, living or released.
void check_guard_bands();

}  // namespace sutura::simt
