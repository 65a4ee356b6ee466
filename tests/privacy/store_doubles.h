#pragma once
#include <memory>
#include <utility>

#include "core/bytes.h"
#include "core/error.h"
#include "runtime/privacy/append_store.h"

namespace sutura::privacy_tests {

/// Bytes that outlive the store, as a disk outlives a process.
struct Disk {
  Bytes bytes;
  int appends_until_failure = -1;  ///< -1: never fails
};

class DiskStore final : public AppendStore {
 public:
  explicit DiskStore(Disk& disk) : disk_(disk) {}
  std::uint64_t size_bytes() const override { return disk_.bytes.size(); }
  Bytes read(std::uint64_t offset, std::size_t size) const override {
    require(offset + size <= disk_.bytes.size(), Errc::kData, "beyond the end");
    const auto begin = disk_.bytes.begin() + static_cast<std::ptrdiff_t>(offset);
    return {begin, begin + static_cast<std::ptrdiff_t>(size)};
  }
  void append(ByteSpan bytes) override {
    if (disk_.appends_until_failure == 0) throw Error(Errc::kResources, "disk full");
    if (disk_.appends_until_failure > 0) --disk_.appends_until_failure;
    disk_.bytes.insert(disk_.bytes.end(), bytes.begin(), bytes.end());
  }
  void truncate(std::uint64_t size) override { disk_.bytes.resize(size); }

 private:
  Disk& disk_;
};

inline std::unique_ptr<AppendStore> store_on(Disk& disk) { return std::make_unique<DiskStore>(disk); }

template <class Action>
Errc code_of(Action action) {
  try {
    action();
  } catch (const Error& e) {
    return e.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return Errc::kInternal;
}

}  // namespace sutura::privacy_tests
