#include "kernels/device_stream.h"

#include <algorithm>

#include "core/error.h"

namespace sutura {

namespace {
/// Sizes are rounded so that tensors of nearly equal size share blocks: to 512 bytes, above 1 MiB to 64 KiB.
std::size_t rounded(std::size_t bytes) {
  const std::size_t unit = bytes > (std::size_t{1} << 20) ? std::size_t{64} << 10 : 512;
  return std::max(unit, (bytes + unit - 1) / unit * unit);
}
}  // namespace

DeviceStream::DeviceStream(const DeviceRuntime& runtime)
    : runtime_(runtime), stream_(runtime.create_stream()), own_(std::make_unique<Arena>(*this)), entered_(own_.get()) {}

DeviceStream::~DeviceStream() {
  try {
    runtime_.synchronise(stream_);
  } catch (const Error&) {  // whoever used the stream has seen it; memory is freed all the same
  }
  attachment_.reset();
  for (const auto& [memory, block] : blocks_) {
    block.arena->stream_ = nullptr;
    runtime_.release(memory);
  }
  for (const auto& [memory, bytes] : pinned_) runtime_.release_pinned(memory);
  runtime_.destroy_stream(stream_);
}

void* DeviceStream::take(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  std::vector<void*>& kept = entered_->kept_[size];
  if (!kept.empty()) {
    void* memory = kept.back();
    kept.pop_back();
    return memory;
  }
  void* memory = nullptr;
  try {
    memory = runtime_.allocate(size);
  } catch (const Error& e) {
    if (e.code() != Errc::kResources) throw;
    free_kept(*own_);
    memory = runtime_.allocate(size);
  }
  blocks_.emplace(memory, Block{size, entered_});
  return memory;
}

void DeviceStream::give(void* memory) noexcept {
  const Block& block = blocks_.at(memory);
  block.arena->kept_[block.bytes].push_back(memory);
}

void* DeviceStream::take_pinned(std::size_t bytes) {
  const std::size_t size = rounded(bytes);
  std::vector<void*>& kept = kept_pinned_[size];
  if (!kept.empty()) {
    void* memory = kept.back();
    kept.pop_back();
    return memory;
  }
  void* memory = runtime_.allocate_pinned(size);
  pinned_.emplace(memory, size);
  return memory;
}

void DeviceStream::give_pinned(void* memory) noexcept { resting_pinned_.push_back(memory); }

void DeviceStream::synchronise() {
  runtime_.synchronise(stream_);
  for (void* memory : resting_pinned_) kept_pinned_[pinned_.at(memory)].push_back(memory);
  resting_pinned_.clear();
}

void DeviceStream::free_kept(Arena& arena) {
  synchronise();
  for (auto& [size, kept] : arena.kept_) {
    for (void* memory : kept) {
      blocks_.erase(memory);
      runtime_.release(memory);
    }
    kept.clear();
  }
}

std::shared_ptr<DeviceStream::Arena> DeviceStream::make_arena() { return std::make_shared<Arena>(*this); }

DeviceStream::Arena* DeviceStream::enter(Arena* arena) {
  Arena* before = entered_ == own_.get() ? nullptr : entered_;
  entered_ = arena == nullptr ? own_.get() : arena;
  return before;
}

/// Blocks that are still in use outlive their arena as the stream's own.
void DeviceStream::forget(Arena& arena) noexcept {
  for (auto& [memory, block] : blocks_)
    if (block.arena == &arena) block.arena = own_.get();
  for (auto& [size, kept] : arena.kept_) {
    auto& own = own_->kept_[size];
    own.insert(own.end(), kept.begin(), kept.end());
  }
}

DeviceStream::Arena::~Arena() {
  if (stream_ != nullptr && stream_->own_.get() != this) stream_->forget(*this);
}

}  // namespace sutura
