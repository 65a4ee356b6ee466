#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "kernels/tensor.h"
#include "runtime/privacy/append_store.h"
#include "runtime/privacy/release_key.h"

namespace sutura {

/// The bytes that were released in one run, so that a replay sends the same bytes and never draws again. Append-only binary
/// file: a header with the run, then per release {magic, key, type, shape, records digest, payload size and CRC-32, header
/// CRC-32, payload}. A torn last entry is cut when the file is opened (it was never sent); other damage is refused.
/// Threads  one. Errors  kData for a damaged file or another run's, kResources from the store.
class Journal {
 public:
  Journal(std::unique_ptr<AppendStore> store, std::string run);

  /// Returns when the entry is on disk. Errors: kInternal if the key is there already.
  void append(const ReleaseKey& key, std::span<const std::int64_t> records, const Tensor& wire);
  /// The stored wire tensor. Errors: kData if the entry was made for other records.
  std::optional<Tensor> lookup(const ReleaseKey& key, std::span<const std::int64_t> records) const;

  std::size_t entries() const { return entries_.size(); }
  const std::string& run() const { return run_; }
  /// Empty, or what was repaired when the file was opened.
  const std::string& note() const { return note_; }

 private:
  struct Entry {
    std::uint64_t payload_offset = 0;
    std::uint64_t payload_bytes = 0;
    std::uint32_t payload_crc = 0;
    Digest records{};
    DType dtype = DType::kInt8;
    Shape shape;
  };
  struct Header {
    ReleaseKey key;
    Entry entry;
  };
  Bytes entry_header(const ReleaseKey& key, const Entry& entry) const;
  std::optional<Header> read_header(std::uint64_t offset) const;
  bool payload_intact(const Entry& entry) const;
  bool whole_entry_after(std::uint64_t offset) const;
  void load();

  std::unique_ptr<AppendStore> store_;
  std::string run_;
  std::map<ReleaseKey, Entry> entries_;
  std::string note_;
};

}  // namespace sutura
