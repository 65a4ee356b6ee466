#include "device_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <new>

#include "core/error.h"
#include "executor.h"
#include "poison.h"

namespace sutura::simt {

namespace {

constexpr std::size_t kAlignment = 256, kBand = 256;
constexpr std::size_t kUsually = std::size_t{4} << 30;  // what free_bytes() begins with

/// Allocations of one kind, each between two guard bands.
class Memory {
 public:
  void* allocate(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    require(bytes <= limit_ && used_ <= limit_ - bytes, Errc::kResources, "device memory: out of memory");
    auto* base = static_cast<unsigned char*>(::operator new(bytes + 2 * kBand, std::align_val_t{kAlignment}));
    std::memset(base + kBand, executor::kPoison, bytes);
    executor::close_band(base, base + kBand);
    executor::close_band(base + kBand + bytes, base + kBand + bytes + kBand);
    used_ += bytes;
    sizes_.emplace(base + kBand, bytes);
    return base + kBand;
  }
  void release(void* memory) {
    if (memory == nullptr) return;
    const std::lock_guard lock(mutex_);
    const auto it = sizes_.find(static_cast<unsigned char*>(memory));
    if (it == sizes_.end()) std::abort();  // released twice or never allocated
    broken_ |= !whole(it->first, it->second);
    used_ -= it->second;
    unsigned char* base = it->first - kBand;
    executor::open_band(base, base + it->second + 2 * kBand);
    sizes_.erase(it);
    ::operator delete(base, std::align_val_t{kAlignment});
  }
  MemoryRange around(const void* p) const {
    const std::lock_guard lock(mutex_);
    auto* at = static_cast<unsigned char*>(const_cast<void*>(p));
    auto it = sizes_.upper_bound(at);
    if (it == sizes_.begin()) return {};
    --it;
    return at < it->first + it->second ? MemoryRange{it->first, it->first + it->second} : MemoryRange{};
  }
  bool take_broken() {
    const std::lock_guard lock(mutex_);
    const bool broken = broken_ || !std::all_of(sizes_.begin(), sizes_.end(), [](const auto& s) { return whole(s.first, s.second); });
    broken_ = false;
    return broken;
  }
  void limit(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    limit_ = bytes;
  }
  std::size_t used() const {
    const std::lock_guard lock(mutex_);
    return used_;
  }
  std::size_t free() const {
    const std::lock_guard lock(mutex_);
    return limit_ - std::min(used_, limit_);
  }

 private:
  static bool whole(const unsigned char* p, std::size_t bytes) {
    return executor::is_whole(p - kBand, p) && executor::is_whole(p + bytes, p + bytes + kBand);
  }

  mutable std::mutex mutex_;
  std::map<unsigned char*, std::size_t> sizes_;
  std::size_t used_ = 0, limit_ = kUsually;
  bool broken_ = false;
};

// Never destroyed: tensors of static objects may be released later.
Memory& device() {
  static Memory& memory = *new Memory;
  return memory;
}
Memory& pinned() {
  static Memory& memory = *new Memory;
  return memory;
}

}  // namespace

void* allocate(std::size_t bytes) { return device().allocate(bytes); }
void release(void* memory) noexcept { device().release(memory); }
void* allocate_pinned(std::size_t bytes) { return pinned().allocate(bytes); }
void release_pinned(void* memory) noexcept { pinned().release(memory); }
std::size_t free_bytes() { return device().free(); }

MemoryRange device_memory_around(const void* p) { return device().around(p); }
MemoryRange pinned_memory_around(const void* p) { return pinned().around(p); }

void check_guard_bands() {
  const bool broken = device().take_broken() | pinned().take_broken();
  require(!broken, Errc::kDevice, "something was written just outside an allocation of device or pinned memory");
}

void set_memory_limit(std::size_t bytes) { device().limit(bytes); }
std::size_t device_bytes() { return device().used(); }

}  // namespace sutura::simt
