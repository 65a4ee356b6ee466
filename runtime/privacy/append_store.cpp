#include "runtime/privacy/append_store.h"

#include <algorithm>
#include <fstream>

#include "core/error.h"
#include "core/file.h"

namespace sutura {
namespace {

class FileStore final : public AppendStore {
 public:
  explicit FileStore(const std::filesystem::path& path) : log_(path), reader_(path, std::ios::binary) {
    require(reader_.good(), Errc::kResources, path.string() + ": cannot open for reading");
    size_bytes_ = std::filesystem::file_size(path);
  }
  std::uint64_t size_bytes() const override { return size_bytes_; }
  Bytes read(std::uint64_t offset, std::size_t size) const override {
    require(offset <= size_bytes_ && size <= size_bytes_ - offset, Errc::kData, log_.path().string() + ": shorter than expected");
    Bytes bytes(size);
    reader_.clear();
    reader_.seekg(static_cast<std::streamoff>(offset));
    reader_.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
    require(static_cast<std::size_t>(reader_.gcount()) == size, Errc::kData, log_.path().string() + ": cannot read");
    return bytes;
  }
  void append(ByteSpan bytes) override {
    log_.append(bytes);
    size_bytes_ += bytes.size();
  }
  void truncate(std::uint64_t size) override {
    log_.truncate(size);
    size_bytes_ = size;
  }

 private:
  DurableLog log_;
  mutable std::ifstream reader_;  // position only; reads are const for the caller
  std::uint64_t size_bytes_ = 0;
};

class MemoryStore final : public AppendStore {
 public:
  std::uint64_t size_bytes() const override { return bytes_.size(); }
  Bytes read(std::uint64_t offset, std::size_t size) const override {
    require(offset <= bytes_.size() && size <= bytes_.size() - offset, Errc::kData, "the memory store is shorter than expected");
    const auto begin = bytes_.begin() + static_cast<std::ptrdiff_t>(offset);
    return {begin, begin + static_cast<std::ptrdiff_t>(size)};
  }
  void append(ByteSpan bytes) override { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void truncate(std::uint64_t size) override { bytes_.resize(std::min<std::size_t>(bytes_.size(), size)); }

 private:
  Bytes bytes_;
};

}  // namespace

std::unique_ptr<AppendStore> file_store(const std::filesystem::path& path) { return std::make_unique<FileStore>(path); }
std::unique_ptr<AppendStore> memory_store() { return std::make_unique<MemoryStore>(); }

}  // namespace sutura
