// BLAKE2b of the build without libsodium against libsodium's.
#include "core/bytes.h"

// The file under test once more, under names of its own: both must be in one program.
namespace sutura {
Digest plain_blake2b(ByteSpan bytes);
Digest plain_blake2b_keyed(ByteSpan key, ByteSpan bytes);
}  // namespace sutura
#define blake2b plain_blake2b
#define blake2b_keyed plain_blake2b_keyed
#include "bench/gpu/blake2b.cpp"
#undef blake2b
#undef blake2b_keyed

#include <gtest/gtest.h>

namespace sutura {
namespace {

Bytes counted(std::size_t n) {
  Bytes b(n);
  for (std::size_t i = 0; i < n; ++i) b[i] = static_cast<std::byte>(31 * i + 7);
  return b;
}

TEST(PlainBlake2b, AgreesWithLibsodiumAroundEveryBlockEdge) {
  for (const std::size_t n : {0u, 1u, 3u, 64u, 127u, 128u, 129u, 255u, 256u, 257u, 1000u})
    EXPECT_EQ(plain_blake2b(counted(n)), blake2b(counted(n))) << n;
}
TEST(PlainBlake2b, AgreesWithLibsodiumWithKeys) {
  for (const std::size_t k : {1u, 16u, 32u, 64u})
    for (const std::size_t n : {0u, 5u, 128u, 300u}) EXPECT_EQ(plain_blake2b_keyed(counted(k), counted(n)), blake2b_keyed(counted(k), counted(n)));
}

}  // namespace
}  // namespace sutura
