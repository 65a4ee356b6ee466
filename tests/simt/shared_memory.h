#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "poison.h"

namespace sutura::executor {

// Of compute capability 8.0, the least that is served, in bytes: what a block may declare, and what it may have altogether.
constexpr std::size_t kMaxStatic = 48 * 1024, kMaxShared = 163 * 1024;

/// The shared memory of a block: its static arrays in the order of their declaration and the launch's dynamic memory, with red
/// zones around each. Errors: kDevice.
class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  /// A new launch: forgets its predecessor's arrays.
  void begin_launch(std::size_t dynamic_bytes);
  /// A new block: poisons every value.
  void begin_block();
  /// Throws if a red zone was written to.
  void end_block() const;

  /// The block's array number `index`, laid out by the first thread that asks.
  void* array(std::size_t index, std::size_t bytes, std::size_t alignment);
  void* dynamic();
  /// True if all of [p, p + bytes) lies in one array.
  bool holds(const void* p, std::size_t bytes) const;

 private:
  struct Array {
    std::size_t at, bytes;
  };
  void lay_out(std::size_t bytes, std::size_t alignment);

  unsigned char* const memory_;
  std::size_t end_ = 0;  // of what is laid out, with its red zones
  std::size_t static_bytes_ = 0;
  std::vector<Array> arrays_;  // the first is the dynamic memory
};

/// The copies that one thread has started. A copy lands as late as the rules allow: at the wait that covers its group. Until
/// then its target is poison.
class AsyncCopies {
 public:
  void start(void* to, const void* from, std::size_t bytes, bool valid);
  void commit() { ends_.push_back(copies_.size()); }
  void wait(std::size_t pending);
  void forget();
  /// True if copies were started that no wait covered.
  bool under_way() const { return landed_ < copies_.size(); }

 private:
  struct Copy {
    void* to;
    std::size_t bytes;
    unsigned char values[16];
  };
  std::vector<Copy> copies_;
  std::vector<std::size_t> ends_;  // of groups, in copies_
  std::size_t groups_landed_ = 0, landed_ = 0;
};

}  // namespace sutura::executor
