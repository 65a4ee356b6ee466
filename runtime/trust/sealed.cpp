#include "runtime/trust/sealed.h"

#include <sodium.h>
#include <zmq.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"
#include "transport/security.h"

namespace sutura {
namespace {

constexpr std::string_view kMagic = "SUTSEAL1";
constexpr std::string_view kWrapContext = "sutura sealed v1";
constexpr std::size_t kKeyBytes = crypto_aead_xchacha20poly1305_ietf_KEYBYTES;
constexpr std::size_t kTagBytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kNonceBytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kWrapBytes = kKeyBytes + kTagBytes;
constexpr std::size_t kNonceAt = 12;
constexpr std::size_t kWrapsAt = kNonceAt + kNonceBytes;
static_assert(kKeyBytes == 32 && crypto_box_PUBLICKEYBYTES == 32 && crypto_box_SECRETKEYBYTES == 32);
static_assert(kWrapsAt + 3 * kWrapBytes + kTagBytes == sealed_overhead(3));

const unsigned char* raw(ByteSpan s) { return reinterpret_cast<const unsigned char*>(s.data()); }
unsigned char* writable(std::span<std::byte> s) { return reinterpret_cast<unsigned char*>(s.data()); }

/// 32 secret bytes on the stack, wiped when they go.
struct Secret {
  std::array<std::byte, kKeyBytes> bytes{};
  Secret() = default;
  ~Secret() { sodium_memzero(bytes.data(), bytes.size()); }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
};

void start_sodium() { require(sodium_init() >= 0, Errc::kInternal, "libsodium does not start"); }

[[noreturn]] void refuse() {
  throw Error(Errc::kAuthentication, "a sealed message is altered, or from another sender, for another recipient or purpose");
}

/// The key under which content keys travel between two sites, the same in both directions; false for a public key of small order.
bool wrap_key(const Identity& own, const PublicKey& other, Secret& out) {
  Secret shared;
  if (crypto_box_beforenm(writable(shared.bytes), raw(other), raw(own.secret())) != 0) return false;
  return crypto_generichash(writable(out.bytes), out.bytes.size(), raw(as_bytes(kWrapContext)), kWrapContext.size(),
                            raw(shared.bytes), shared.bytes.size()) == 0;
}

/// Associated data of a wrap: whose message for whom, under which header, with which content.
std::array<std::byte, 128> binding(const PublicKey& sender, const PublicKey& recipient, const Digest& header,
                                   const Digest& content) {
  std::array<std::byte, 128> out;
  std::size_t at = 0;
  for (const ByteSpan part : {ByteSpan(sender), ByteSpan(recipient), ByteSpan(header), ByteSpan(content)}) {
    std::copy(part.begin(), part.end(), out.begin() + static_cast<std::ptrdiff_t>(at));
    at += part.size();
  }
  return out;
}

void encrypt(std::span<std::byte> out, ByteSpan plain, ByteSpan associated, ByteSpan nonce, const Secret& key) {
  unsigned long long written = 0;
  const int rc = crypto_aead_xchacha20poly1305_ietf_encrypt(writable(out), &written, raw(plain), plain.size(), raw(associated),
                                                            associated.size(), nullptr, raw(nonce), raw(key.bytes));
  require(rc == 0 && written == out.size(), Errc::kInternal, "libsodium does not encrypt");
}

bool decrypt(std::span<std::byte> out, ByteSpan sealed, ByteSpan associated, ByteSpan nonce, const Secret& key) {
  unsigned long long written = 0;
  const int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(writable(out), &written, nullptr, raw(sealed), sealed.size(),
                                                            raw(associated), associated.size(), raw(nonce), raw(key.bytes));
  return rc == 0 && written == out.size();
}

void check_recipients(std::span<const PublicKey> recipients) {
  require(!recipients.empty(), Errc::kInvalidArgument, "a message is sealed for at least one recipient");
  require(recipients.size() <= kMaxRecipients, Errc::kInvalidArgument, "a message is sealed for at most 1024 recipients");
  std::set<PublicKey> seen;
  for (const PublicKey& r : recipients)
    require(seen.insert(r).second, Errc::kInvalidArgument, "a message is sealed for each site once");
}

}  // namespace

PublicKey public_key(std::string_view z85, std::string_view what) {
  require_key(z85, what);
  PublicKey key;
  require(zmq_z85_decode(writable(key), std::string(z85).c_str()) != nullptr, Errc::kInternal, "a checked key does not decode");
  return key;
}

Identity::Identity(const std::string& secret_z85) {
  start_sodium();
  require_key(secret_z85, "a secret key");
  require(zmq_z85_decode(writable(secret_), secret_z85.c_str()) != nullptr, Errc::kInternal, "a checked key does not decode");
  require(crypto_scalarmult_base(writable(open_), raw(secret_)) == 0, Errc::kInternal, "libsodium does not derive a public key");
}

Identity::~Identity() { sodium_memzero(secret_.data(), secret_.size()); }

Identity::Identity(Identity&& other) noexcept : open_(other.open_), secret_(other.secret_) {
  sodium_memzero(other.secret_.data(), other.secret_.size());
}

Identity& Identity::operator=(Identity&& other) noexcept {
  if (this == &other) return *this;
  open_ = other.open_;
  secret_ = other.secret_;
  sodium_memzero(other.secret_.data(), other.secret_.size());
  return *this;
}

Bytes seal(ByteSpan plain, ByteSpan header, const Identity& sender, std::span<const PublicKey> recipients) {
  start_sodium();
  check_recipients(recipients);
  Bytes out(plain.size() + sealed_overhead(recipients.size()));
  const auto all = std::span(out);
  std::copy_n(as_bytes(kMagic).begin(), kMagic.size(), out.begin());
  store_le(all, kMagic.size(), static_cast<std::uint32_t>(recipients.size()));
  const auto nonce = all.subspan(kNonceAt, kNonceBytes);
  randombytes_buf(nonce.data(), nonce.size());
  Secret content_key;
  crypto_aead_xchacha20poly1305_ietf_keygen(writable(content_key.bytes));
  const auto content = all.subspan(kWrapsAt + recipients.size() * kWrapBytes);
  encrypt(content, plain, header, nonce, content_key);

  const Digest header_digest = blake2b(header), content_digest = blake2b(content);
  for (std::size_t i = 0; i < recipients.size(); ++i) {
    Secret wrap;
    require(wrap_key(sender, recipients[i], wrap), Errc::kAuthentication, "a recipient's public key shares no secret");
    // One nonce serves all: every wrap has a key of its own, and the content another.
    encrypt(all.subspan(kWrapsAt + i * kWrapBytes, kWrapBytes), content_key.bytes,
            binding(sender.open_key(), recipients[i], header_digest, content_digest), nonce, wrap);
  }
  return out;
}

Bytes open_sealed(ByteSpan sealed, ByteSpan header, const Identity& recipient, const PublicKey& sender) {
  start_sodium();
  if (sealed.size() < sealed_overhead(1)) refuse();
  if (!std::equal(kMagic.begin(), kMagic.end(), sealed.begin(), [](char a, std::byte b) { return std::byte(a) == b; })) refuse();
  const auto recipients = load_le<std::uint32_t>(sealed, kMagic.size());
  if (recipients == 0 || recipients > kMaxRecipients || sealed.size() < sealed_overhead(recipients)) refuse();
  const ByteSpan nonce = sealed.subspan(kNonceAt, kNonceBytes);
  const ByteSpan content = sealed.subspan(kWrapsAt + recipients * kWrapBytes);

  Secret wrap, content_key;
  if (!wrap_key(recipient, sender, wrap)) refuse();
  const auto bound = binding(sender, recipient.open_key(), blake2b(header), blake2b(content));
  bool found = false;
  for (std::size_t i = 0; i < recipients && !found; ++i)
    found = decrypt(content_key.bytes, sealed.subspan(kWrapsAt + i * kWrapBytes, kWrapBytes), bound, nonce, wrap);
  if (!found) refuse();
  Bytes plain(content.size() - kTagBytes);
  if (!decrypt(plain, content, header, nonce, content_key)) refuse();
  return plain;
}

}  // namespace sutura
