#include "core/bytes.h"

#include <sodium.h>

#include "core/error.h"

namespace sutura {

std::string to_hex(ByteSpan bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string s;
  s.reserve(2 * bytes.size());
  for (const std::byte b : bytes) {
    s += kDigits[std::to_integer<unsigned>(b) >> 4];
    s += kDigits[std::to_integer<unsigned>(b) & 15];
  }
  return s;
}

Bytes from_hex(std::string_view hex) {
  require(hex.size() % 2 == 0, Errc::kInvalidArgument, "hex text has an odd length");
  const auto digit = [](char c) -> unsigned {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
    throw Error(Errc::kInvalidArgument, "hex text holds another character");
  };
  Bytes out(hex.size() / 2);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  return out;
}

namespace {
// Slicing by 8: the payload frames of every message pass through here.
constexpr auto kCrcTables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> t{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1) ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    t[0][i] = c;
  }
  for (std::size_t i = 0; i < 256; ++i)
    for (std::size_t k = 1; k < 8; ++k) t[k][i] = (t[k - 1][i] >> 8) ^ t[0][t[k - 1][i] & 255];
  return t;
}();
}  // namespace

std::uint32_t crc32(ByteSpan bytes, std::uint32_t seed) {
  const auto& t = kCrcTables;
  std::uint32_t c = ~seed;
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) {
    const auto v = load_le<std::uint64_t>(bytes, i) ^ c;
    c = t[7][v & 255] ^ t[6][(v >> 8) & 255] ^ t[5][(v >> 16) & 255] ^ t[4][(v >> 24) & 255] ^ t[3][(v >> 32) & 255] ^
        t[2][(v >> 40) & 255] ^ t[1][(v >> 48) & 255] ^ t[0][v >> 56];
  }
  for (; i < bytes.size(); ++i) c = (c >> 8) ^ t[0][(c ^ std::to_integer<std::uint32_t>(bytes[i])) & 255];
  return ~c;
}

Digest blake2b(ByteSpan bytes) { return blake2b_keyed({}, bytes); }

Digest blake2b_keyed(ByteSpan key, ByteSpan bytes) {
  require(key.size() <= crypto_generichash_blake2b_KEYBYTES_MAX, Errc::kInvalidArgument, "a BLAKE2b key has at most 64 bytes");
  Digest out;
  require(sodium_init() >= 0, Errc::kInternal, "libsodium did not start");
  const int rc = crypto_generichash_blake2b(reinterpret_cast<unsigned char*>(out.data()), out.size(),
                                            reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
                                            reinterpret_cast<const unsigned char*>(key.data()), key.size());
  require(rc == 0, Errc::kInternal, "BLAKE2b refused its input");
  return out;
}

}  // namespace sutura
