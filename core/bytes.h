#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace sutura {

using Bytes = std::vector<std::byte>;
using ByteSpan = std::span<const std::byte>;
static_assert(std::endian::native == std::endian::little, "the wire format is little-endian and copied as it lies");

/// Reads a little-endian value; the caller has checked that the span is long enough.
template <class T>
  requires std::is_trivially_copyable_v<T>
T load_le(ByteSpan from, std::size_t offset) {
  T value;
  std::memcpy(&value, from.data() + offset, sizeof value);
  return value;
}
template <class T>
  requires std::is_trivially_copyable_v<T>
void store_le(std::span<std::byte> to, std::size_t offset, T value) {
  std::memcpy(to.data() + offset, &value, sizeof value);
}

inline ByteSpan as_bytes(std::string_view s) { return std::as_bytes(std::span(s.data(), s.size())); }
template <class T>
ByteSpan as_bytes(const std::vector<T>& v) {
  return std::as_bytes(std::span(v.data(), v.size()));
}
std::string to_hex(ByteSpan bytes);
/// Errors: kInvalidArgument for odd length or a character outside 0-9a-fA-F.
Bytes from_hex(std::string_view hex);

/// CRC-32 (IEEE 802.3, reflected 0xEDB88320), the check value of "123456789" is 0xCBF43926.
std::uint32_t crc32(ByteSpan bytes, std::uint32_t seed = 0);

/// BLAKE2b-256 (RFC 7693), the digest of plans, files and messages.
using Digest = std::array<std::byte, 32>;
Digest blake2b(ByteSpan bytes);
/// Keyed form: derives sub-keys, for example from ("row-noise", run, client). An empty key is the plain digest.
/// Errors: kInvalidArgument for a key of more than 64 bytes.
Digest blake2b_keyed(ByteSpan key, ByteSpan bytes);

}  // namespace sutura
