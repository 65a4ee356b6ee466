// Keys from the operating system and from other keys: what of the key schedule needs libsodium.
#include <sodium.h>

#include "core/bytes.h"
#include "core/error.h"
#include "core/random/chacha20.h"

namespace sutura {

ChaChaKey ChaChaKey::fresh() {
  require(sodium_init() >= 0, Errc::kInternal, "libsodium did not start");
  ChaChaKey key;
  randombytes_buf(key.words_.data(), sizeof key.words_);
  return key;
}

ChaChaKey ChaChaKey::derive(ByteSpan context) const {
  Digest d = blake2b_keyed(std::as_bytes(std::span(words_)), context);
  ChaChaKey key{ByteSpan(d)};
  sodium_memzero(d.data(), d.size());
  return key;
}

}  // namespace sutura
