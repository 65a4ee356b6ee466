#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>

#include "core/bytes.h"

namespace sutura {

/// Where the ledger and the journal keep their bytes: a file in production, memory for audits, a failing store in tests.
class AppendStore {
 public:
  virtual ~AppendStore() = default;
  virtual std::uint64_t size_bytes() const = 0;
  /// Errors: kData if the range is not there.
  virtual Bytes read(std::uint64_t offset, std::size_t size_bytes) const = 0;
  /// Returns when the bytes are safe.
  virtual void append(ByteSpan bytes) = 0;
  virtual void truncate(std::uint64_t size_bytes) = 0;
};

/// A file whose appends return after fdatasync; one process at a time. Errors: kResources.
std::unique_ptr<AppendStore> file_store(const std::filesystem::path& path);
/// Nothing survives the process.
std::unique_ptr<AppendStore> memory_store();

}  // namespace sutura
