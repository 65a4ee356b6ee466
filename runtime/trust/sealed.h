#pragma once
#include <array>
#include <span>
#include <string>
#include <string_view>

#include "core/bytes.h"

namespace sutura {

// Messages from site to site that pass through the server, which must not read or change them: weights that are handed on,
// alignment, splits. The keys are the CURVE keys of the study (X25519, transport/security.h); no other keys are needed.
//
// Layout of a sealed message (integers little-endian):
//    8  the bytes "SUTSEAL1"
//    4  u32 n: recipients, 1 to 1024
//   24  nonce, random
//   48  n times: the content key (32) and its tag (16), wrapped for one recipient, in the order given to seal()
//    *  the content and its tag (16): XChaCha20-Poly1305 under the content key; associated data: the header
// A wrap key is BLAKE2b keyed with the X25519 secret that sender and recipient share, over "sutura sealed v1": CurveZMQ uses the
// same keys, and nothing made for one opens in the other. Each wrap is bound to sender, recipient, header and the digest of the
// encrypted content, so that a recipient, who knows the content key, cannot put other content before another recipient.
// Not claimed: forward secrecy (the keys are long-lived); a proof to a third party of who wrote (sender and recipient share the
// wrap key, so each could have); protection against repetition beyond what the header says: put run, step and purpose there.

using PublicKey = std::array<std::byte, 32>;

/// Errors: kAuthentication naming `what` unless `z85` is a key.
PublicKey public_key(std::string_view z85, std::string_view what = "a public key");

/// A site's own key pair, as raw bytes; the secret is wiped when it goes. Move-only: a copy would be a second place to wipe.
class Identity {
 public:
  /// Errors: kAuthentication unless `secret_z85` is a key.
  explicit Identity(const std::string& secret_z85);
  ~Identity();
  Identity(Identity&& other) noexcept;
  Identity& operator=(Identity&& other) noexcept;
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  const PublicKey& open_key() const { return open_; }
  ByteSpan secret() const { return secret_; }

 private:
  PublicKey open_{};
  std::array<std::byte, 32> secret_{};
};

inline constexpr std::size_t kMaxRecipients = 1024;

/// Bytes that seal() adds to a message for `recipients` recipients.
constexpr std::size_t sealed_overhead(std::size_t recipients) { return 8 + 4 + 24 + 48 * recipients + 16; }

/// Encrypts `plain` for every one of `recipients`. `header` does not travel: who opens must know it.
/// The sender may be a recipient too: after a restart it must read what it had handed on.
/// Errors: kInvalidArgument for no recipient, more than kMaxRecipients, or one named twice;
/// kAuthentication for a recipient key with which no secret can be shared (a point of small order).
Bytes seal(ByteSpan plain, ByteSpan header, const Identity& sender, std::span<const PublicKey> recipients);

/// The plain bytes. Errors: kAuthentication, always with the same text, for anything that seal() did not make from this header
/// by this sender for this recipient.
Bytes open_sealed(ByteSpan sealed, ByteSpan header, const Identity& recipient, const PublicKey& sender);

}  // namespace sutura
