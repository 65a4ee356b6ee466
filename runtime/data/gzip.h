#pragma once
#include <cstddef>
#include <filesystem>
#include <string>

#include "core/bytes.h"

namespace sutura {

/// True for content that begins like a gzip file (RFC 1952).
bool is_gzip(ByteSpan content);
/// Unpacks all members of a gzip file; checksums and lengths are verified.
/// `source` names the file in messages.
/// Errors: kData for a damaged or truncated file, for bytes after the last member, and above `limit_bytes` unpacked.
std::string gunzip(ByteSpan content, const std::string& source, std::size_t limit_bytes);
/// A file's text and the digest of the bytes that it was read from.
struct TextFile {
  std::string text;
  Digest digest{};  ///< BLAKE2b-256 of the file as it lies on disk, packed or not
};
/// The text of a file, unpacked if it is gzip. Errors: kData as above, and for a name in .gz whose content is not gzip.
TextFile read_text_or_gzip(const std::filesystem::path& path, std::size_t limit_bytes);

}  // namespace sutura
