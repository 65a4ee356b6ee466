#pragma once
#include <filesystem>
#include <string>

#include "core/bytes.h"

namespace sutura {

/// Writes a file (mode 0600) so that after a crash either the old or the new content is there, never a mixture: a fresh
/// temporary name PATH.tmp.XXXXXX in the same folder, fdatasync, rename, fsync of the folder. A link is replaced, not followed.
/// Errors: kResources with the path and the system's reason. The old content stays, unless only the last fsync failed.
void write_file_durably(const std::filesystem::path& path, ByteSpan content);
/// Whole content. Errors: kData with the path and the system's reason, or if it is no regular file (never waits on a pipe);
/// kResources above `limit_bytes`.
Bytes read_file(const std::filesystem::path& path, std::size_t limit_bytes = std::size_t{1} << 31);
std::string read_text_file(const std::filesystem::path& path, std::size_t limit_bytes = std::size_t{1} << 31);

/// An append-only file whose append() returns only when the bytes are on disk (fdatasync). One writer (flock).
/// Threads: one. Errors: kResources; after a failed write or sync the object refuses everything further.
class DurableLog {
 public:
  /// Opens or creates (mode 0600). Errors: kResources if another process holds the lock.
  explicit DurableLog(const std::filesystem::path& path);
  ~DurableLog();
  DurableLog(DurableLog&& other) noexcept;
  DurableLog(const DurableLog&) = delete;
  DurableLog& operator=(const DurableLog&) = delete;
  DurableLog& operator=(DurableLog&&) = delete;

  void append(ByteSpan record);
  /// Cuts the file to `size_bytes`: used once at open, to drop a torn last record. Errors: kInvalidArgument if it is shorter.
  void truncate(std::uint64_t size_bytes);
  const std::filesystem::path& path() const { return path_; }

 private:
  void check_intact() const;

  std::filesystem::path path_;
  int fd_ = -1;
  bool broken_ = false;
};

}  // namespace sutura
