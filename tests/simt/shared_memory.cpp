#include "shared_memory.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string>

#include "core/error.h"

namespace sutura::executor {

namespace {

constexpr std::size_t kZone = 64;
constexpr std::size_t kMaxArrays = 64;
constexpr std::size_t kBytes = kMaxShared + (kMaxArrays + 1) * 2 * 256;  // room for a zone and the alignment of each array

}  // namespace

SharedMemory::SharedMemory() : memory_(static_cast<unsigned char*>(::operator new(kBytes, std::align_val_t{256}))) {}
SharedMemory::~SharedMemory() {
  open_band(memory_, memory_ + kBytes);
  ::operator delete(memory_, std::align_val_t{256});
}

void SharedMemory::begin_launch(std::size_t dynamic_bytes) {
  open_band(memory_, memory_ + end_);
  arrays_.clear();
  end_ = static_bytes_ = 0;
  lay_out(dynamic_bytes, 128);
}

void SharedMemory::lay_out(std::size_t bytes, std::size_t alignment) {
  std::size_t at = (end_ + kZone + alignment - 1) / alignment * alignment;
  if (at % (2 * alignment) == 0) at += alignment;  // aligned as declared and no better
  require(at + bytes + kZone <= kBytes && arrays_.size() <= kMaxArrays, Errc::kDevice, "too many shared arrays");
  close_band(memory_ + end_, memory_ + at);
  close_band(memory_ + at + bytes, memory_ + at + bytes + kZone);
  std::memset(memory_ + at, kPoison, bytes);
  end_ = at + bytes + kZone;
  arrays_.push_back({at, bytes});
}

void SharedMemory::begin_block() {
  for (const Array& a : arrays_) std::memset(memory_ + a.at, kPoison, a.bytes);
}

void SharedMemory::end_block() const {
  std::size_t zone = 0;
  for (std::size_t i = 0; i <= arrays_.size(); ++i) {
    const std::size_t until = i < arrays_.size() ? arrays_[i].at : end_;
    require(is_whole(memory_ + zone, memory_ + until), Errc::kDevice, "a thread wrote outside its shared arrays");
    if (i < arrays_.size()) zone = arrays_[i].at + arrays_[i].bytes;
  }
}

void* SharedMemory::array(std::size_t index, std::size_t bytes, std::size_t alignment) {
  if (index + 1 == arrays_.size()) {
    static_bytes_ += bytes;
    require(static_bytes_ <= kMaxStatic, Errc::kDevice, std::to_string(static_bytes_) + " bytes of static shared memory; at most 49152");
    require(static_bytes_ + arrays_[0].bytes <= kMaxShared, Errc::kDevice,
            std::to_string(static_bytes_ + arrays_[0].bytes) + " bytes of shared memory; at most 166912");
    lay_out(bytes, alignment);
  }
  const Array& a = arrays_[index + 1];
  require(a.bytes == bytes, Errc::kDevice, "threads of a block declare different shared arrays");
  return memory_ + a.at;
}

void* SharedMemory::dynamic() { return memory_ + arrays_[0].at; }

bool SharedMemory::holds(const void* p, std::size_t bytes) const {
  const auto at = reinterpret_cast<std::uintptr_t>(p) - reinterpret_cast<std::uintptr_t>(memory_);
  return std::any_of(arrays_.begin(), arrays_.end(), [&](const Array& a) { return at >= a.at && at + bytes <= a.at + a.bytes; });
}

void AsyncCopies::start(void* to, const void* from, std::size_t bytes, bool valid) {
  Copy c{to, bytes, {}};
  if (valid) std::memcpy(c.values, from, bytes);
  std::memset(to, kPoison, bytes);
  copies_.push_back(c);
}

void AsyncCopies::wait(std::size_t pending) {
  if (ends_.size() <= groups_landed_ + pending) return;
  groups_landed_ = ends_.size() - pending;
  for (const std::size_t end = ends_[groups_landed_ - 1]; landed_ < end; ++landed_)
    std::memcpy(copies_[landed_].to, copies_[landed_].values, copies_[landed_].bytes);
  if (!under_way() && groups_landed_ == ends_.size()) forget();
}

void AsyncCopies::forget() {
  copies_.clear();
  ends_.clear();
  groups_landed_ = landed_ = 0;
}

}  // namespace sutura::executor
