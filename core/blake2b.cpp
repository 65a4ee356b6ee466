#include <sodium.h>

#include "core/bytes.h"
#include "core/error.h"

namespace sutura {

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
