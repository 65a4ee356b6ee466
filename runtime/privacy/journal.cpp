#include "runtime/privacy/journal.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.h"

namespace sutura {
namespace {

constexpr std::string_view kFileMagic = "SUTURAJ1";
constexpr std::uint32_t kEntryMagic = 0x314e5253;  // "SRN1"
constexpr std::size_t kFileHeaderBytes = 8 + sizeof(Digest) + 4;

// Entry header, little-endian: where each field lies.
constexpr std::size_t kAtKeyEdge = 4, kAtDtype = 6, kAtRank = 7, kAtMicroBatch = 8, kAtPurpose = 12, kAtStep = 16, kAtDims = 24;
constexpr std::size_t kAtRecords = kAtDims + 8 * Shape::kMaxRank, kAtPayloadBytes = kAtRecords + sizeof(Digest);
constexpr std::size_t kAtPayloadCrc = kAtPayloadBytes + 8, kAtHeaderCrc = kAtPayloadCrc + 4, kEntryHeaderBytes = kAtHeaderCrc + 4;

Digest digest_of(std::span<const std::int64_t> records) { return blake2b(std::as_bytes(records)); }

}  // namespace

Journal::Journal(std::unique_ptr<AppendStore> store, std::string run) : store_(std::move(store)), run_(std::move(run)) { load(); }

Bytes Journal::entry_header(const ReleaseKey& key, const Entry& entry) const {
  Bytes header(kEntryHeaderBytes);
  const std::span<std::byte> to(header);
  store_le(to, 0, kEntryMagic);
  store_le(to, kAtKeyEdge, key.edge);
  store_le(to, kAtDtype, entry.dtype);
  store_le(to, kAtRank, static_cast<std::uint8_t>(entry.shape.rank()));
  store_le(to, kAtMicroBatch, key.micro_batch);
  store_le(to, kAtPurpose, key.purpose);
  store_le(to, kAtStep, key.step);
  for (int i = 0; i < entry.shape.rank(); ++i) store_le(to, kAtDims + 8 * static_cast<std::size_t>(i), entry.shape[i]);
  std::memcpy(header.data() + kAtRecords, entry.records.data(), entry.records.size());
  store_le(to, kAtPayloadBytes, entry.payload_bytes);
  store_le(to, kAtPayloadCrc, entry.payload_crc);
  store_le(to, kAtHeaderCrc, crc32(ByteSpan(header).first(kAtHeaderCrc)));
  return header;
}

std::optional<Journal::Header> Journal::read_header(std::uint64_t offset) const {
  if (store_->size_bytes() - offset < kEntryHeaderBytes) return std::nullopt;
  const Bytes b = store_->read(offset, kEntryHeaderBytes);
  if (load_le<std::uint32_t>(b, 0) != kEntryMagic) return std::nullopt;
  if (load_le<std::uint32_t>(b, kAtHeaderCrc) != crc32(ByteSpan(b).first(kAtHeaderCrc))) return std::nullopt;
  Header h;
  h.key = {load_le<std::uint16_t>(b, kAtKeyEdge), load_le<std::uint64_t>(b, kAtStep), load_le<std::uint32_t>(b, kAtMicroBatch),
           load_le<std::uint32_t>(b, kAtPurpose)};
  h.entry.dtype = load_le<DType>(b, kAtDtype);
  const auto rank = load_le<std::uint8_t>(b, kAtRank);
  if (rank > Shape::kMaxRank || size_bytes(h.entry.dtype) == 0) return std::nullopt;
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  for (std::size_t i = 0; i < rank; ++i) dims[i] = load_le<std::int64_t>(b, kAtDims + 8 * i);
  h.entry.shape = Shape(std::span<const std::int64_t>(dims).first(rank));
  std::memcpy(h.entry.records.data(), b.data() + kAtRecords, h.entry.records.size());
  h.entry.payload_bytes = load_le<std::uint64_t>(b, kAtPayloadBytes);
  h.entry.payload_crc = load_le<std::uint32_t>(b, kAtPayloadCrc);
  h.entry.payload_offset = offset + kEntryHeaderBytes;
  if (h.entry.payload_bytes != static_cast<std::uint64_t>(h.entry.shape.elements()) * size_bytes(h.entry.dtype))
    return std::nullopt;
  return h;
}

bool Journal::payload_intact(const Entry& e) const {
  if (store_->size_bytes() - e.payload_offset < e.payload_bytes) return false;
  return crc32(store_->read(e.payload_offset, static_cast<std::size_t>(e.payload_bytes))) == e.payload_crc;
}

// A whole entry behind a broken one means damage in the middle of the file, not a torn end.
bool Journal::whole_entry_after(std::uint64_t offset) const {
  const Bytes rest = store_->read(offset, static_cast<std::size_t>(store_->size_bytes() - offset));
  std::array<std::byte, 4> magic{};
  store_le(std::span<std::byte>(magic), 0, kEntryMagic);
  for (auto at = rest.begin() + 1; at < rest.end(); ++at) {
    at = std::search(at, rest.end(), magic.begin(), magic.end());
    if (at == rest.end()) return false;
    const auto header = read_header(offset + static_cast<std::uint64_t>(at - rest.begin()));
    if (header && payload_intact(header->entry)) return true;
  }
  return false;
}

void Journal::load() {
  Bytes file_header(kFileHeaderBytes);
  std::memcpy(file_header.data(), kFileMagic.data(), kFileMagic.size());
  const Digest run = blake2b(as_bytes(run_));
  std::memcpy(file_header.data() + kFileMagic.size(), run.data(), run.size());
  store_le(std::span<std::byte>(file_header), kFileHeaderBytes - 4, crc32(ByteSpan(file_header).first(kFileHeaderBytes - 4)));

  const std::uint64_t size = store_->size_bytes();
  const Bytes found = store_->read(0, static_cast<std::size_t>(std::min<std::uint64_t>(size, kFileHeaderBytes)));
  if (found.size() < kFileHeaderBytes) {
    require(std::equal(found.begin(), found.end(), file_header.begin()), Errc::kData,
            "the release journal belongs to another run");
    if (!found.empty()) note_ = "the release journal held an unfinished header, which has been written anew";
    store_->truncate(0);
    store_->append(file_header);
    return;
  }
  require(found == file_header, Errc::kData, "the release journal is damaged or belongs to another run");

  std::uint64_t at = kFileHeaderBytes;
  while (at < size) {
    const auto header = read_header(at);
    if (!header || !payload_intact(header->entry)) {
      require(!whole_entry_after(at), Errc::kData, "the release journal is damaged in the middle; it is not used");
      store_->truncate(at);
      note_ = "the last entry of the release journal was torn (" + std::to_string(size - at) +
              " bytes) and has been cut; it had not been sent";
      return;
    }
    const bool fresh = entries_.emplace(header->key, header->entry).second;
    require(fresh, Errc::kData, "the release journal holds one release twice; it is not used");
    at = header->entry.payload_offset + header->entry.payload_bytes;
  }
}

void Journal::append(const ReleaseKey& key, std::span<const std::int64_t> records, const Tensor& wire) {
  require(!entries_.contains(key), Errc::kInternal, "a release was journalled twice");
  Entry entry;
  entry.payload_bytes = wire.bytes_size();
  entry.payload_crc = crc32(wire.bytes());
  entry.records = digest_of(records);
  entry.dtype = wire.dtype();
  entry.shape = wire.shape();
  entry.payload_offset = store_->size_bytes() + kEntryHeaderBytes;
  Bytes bytes = entry_header(key, entry);
  bytes.insert(bytes.end(), wire.bytes().begin(), wire.bytes().end());
  store_->append(bytes);
  entries_.emplace(key, entry);
}

std::optional<Tensor> Journal::lookup(const ReleaseKey& key, std::span<const std::int64_t> records) const {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  const Entry& e = found->second;
  require(e.records == digest_of(records), Errc::kData, "a replayed release names other records than the journalled one");
  const Bytes payload = store_->read(e.payload_offset, static_cast<std::size_t>(e.payload_bytes));
  require(crc32(payload) == e.payload_crc, Errc::kData, "a journalled release does not read back as it was written");
  Tensor wire(e.shape, e.dtype);
  if (!payload.empty()) std::memcpy(wire.data(), payload.data(), payload.size());
  return wire;
}

}  // namespace sutura
