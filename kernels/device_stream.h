#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/device_runtime.h"

namespace sutura {

/// What a module keeps for a stream: handles of a library that are bound to it. It goes before the stream and its memory do, so
/// it holds no tensor of the stream.
class StreamAttachment {
 public:
  virtual ~StreamAttachment() = default;
};

/// One stream of a device and the memory that its work uses. Freed blocks are kept and handed out again: work on one stream
/// runs in order, so a block's next use comes after its last one. Threads: one at a time.
class DeviceStream {
 public:
  explicit DeviceStream(const DeviceRuntime& runtime);
  ~DeviceStream();  ///< waits for the work and frees every block
  DeviceStream(const DeviceStream&) = delete;
  DeviceStream& operator=(const DeviceStream&) = delete;

  const DeviceRuntime& runtime() const { return runtime_; }
  Stream stream() const { return stream_; }
  /// Device memory. Errors: kResources when the device has no more, after every kept block was given back to it.
  void* take(std::size_t bytes);
  void give(void* memory) noexcept;
  /// Waits for all work; reports what failed in it.
  void synchronise();
  /// Pinned host memory, kept for the next taker too (making it takes the driver long). A block that was given back may still be
  /// written by a copy that nobody waits for any more (a message to a peer that left), so it rests until the stream was next
  /// waited for: the host, which would fill it at once, does not follow the stream's order. Errors: kResources.
  void* take_pinned(std::size_t bytes);
  void give_pinned(void* memory) noexcept;

  /// Counts how often work on this stream and host memory that is not pinned met (a value read, a tensor copied, a wait): what
  /// does that cannot be recorded.
  std::uint64_t host_accesses() const { return host_accesses_; }
  void note_host_access() { ++host_accesses_; }

  /// At most one: a Context has one backend.
  void attach(std::unique_ptr<StreamAttachment> attachment) { attachment_ = std::move(attachment); }
  StreamAttachment* attachment() const { return attachment_.get(); }

  /// An arena keeps its blocks to itself: what is taken while it is entered is taken from it and returns to it, so that work
  /// recorded once finds its memory untouched at every replay. The same calls in the same order take the same blocks.
  class Arena;
  std::shared_ptr<Arena> make_arena();
  /// From now on memory comes from `arena`; nullptr: from the stream's own blocks. Returns what was entered before.
  Arena* enter(Arena* arena);

 private:
  struct Block {
    std::size_t bytes;
    Arena* arena;
  };
  void free_kept(Arena& arena);
  void forget(Arena& arena) noexcept;

  const DeviceRuntime& runtime_;
  Stream stream_;
  std::unordered_map<void*, Block> blocks_;
  std::unordered_map<void*, std::size_t> pinned_;          // all pinned blocks and their sizes
  std::map<std::size_t, std::vector<void*>> kept_pinned_;  // by size
  std::vector<void*> resting_pinned_;                      // given back, maybe still used by copies
  std::uint64_t host_accesses_ = 0;
  std::unique_ptr<Arena> own_;
  Arena* entered_;
  std::unique_ptr<StreamAttachment> attachment_;
};

/// Blocks of one size each, kept for the next taker.
class DeviceStream::Arena {
 public:
  explicit Arena(DeviceStream& stream) : stream_(&stream) {}
  ~Arena();

 private:
  friend class DeviceStream;
  DeviceStream* stream_;                            // nullptr once the stream is gone
  std::map<std::size_t, std::vector<void*>> kept_;  // by size
};

}  // namespace sutura
