#include "core/random/chacha20.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "core/error.h"
#include "rfc8439.h"

namespace sutura {
namespace {

std::vector<ChaChaPath> paths() {
  std::vector<ChaChaPath> all = {ChaChaPath::kBaseline};
  if (fastest_chacha_path() >= ChaChaPath::kAvx2) all.push_back(ChaChaPath::kAvx2);
  if (fastest_chacha_path() >= ChaChaPath::kAvx512) all.push_back(ChaChaPath::kAvx512);
  return all;
}

TEST(ChaCha20, MatchesRfc8439OnEveryPath) {
  for (const ChaChaPath path : paths()) {
    for (const privacy_tests::Rfc8439Vector& v : privacy_tests::kRfc8439) {
      const Bytes nonce_bytes = from_hex(v.nonce);
      ChaChaNonce nonce;
      for (std::size_t i = 0; i < 3; ++i) nonce[i] = load_le<std::uint32_t>(nonce_bytes, 4 * i);
      Bytes out((v.keystream.size() / 2 + 63) / 64 * 64);
      chacha20_keystream(ChaChaKey{from_hex(v.key)}, nonce, v.counter, out, path);
      EXPECT_EQ(to_hex(ByteSpan(out).first(v.keystream.size() / 2)), v.keystream)
          << v.section << " path " << static_cast<int>(path);
    }
  }
}

TEST(ChaCha20, PathsAndPiecesAgreeForEveryBlockCount) {
  const ChaChaKey key{from_hex(privacy_tests::kCountingKey)};
  const ChaChaNonce nonce = {5, 6, 7};
  Bytes whole(100 * 64);
  chacha20_keystream(key, nonce, 9, whole, ChaChaPath::kBaseline);
  for (const ChaChaPath path : paths()) {
    for (std::size_t blocks = 0; blocks <= 70; ++blocks) {
      for (const std::uint32_t skip : {0u, 1u, 29u}) {
        Bytes part(blocks * 64);
        chacha20_keystream(key, nonce, 9 + skip, part, path);
        EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + skip * 64)) << blocks;
      }
    }
  }
}

TEST(ChaCha20, RefusesACounterThatWraps) {
  const ChaChaKey key{from_hex(privacy_tests::kCountingKey)};
  Bytes two(128);
  EXPECT_NO_THROW(chacha20_keystream(key, {}, 0xfffffffeu, two));
  EXPECT_THROW(chacha20_keystream(key, {}, 0xffffffffu, two), Error);
  Bytes odd(65);
  EXPECT_THROW(chacha20_keystream(key, {}, 0, odd), Error);
  EXPECT_THROW(ChaChaKey{Bytes(31)}, Error);
}

TEST(ChaChaKey, IsFreshWipedAndSeparated) {
  const ChaChaKey a = ChaChaKey::fresh(), b = ChaChaKey::fresh();
  EXPECT_FALSE(std::equal(a.words().begin(), a.words().end(), b.words().begin()));
  const ChaChaKey left = a.derive(as_bytes("left")), right = a.derive(as_bytes("right")), again = a.derive(as_bytes("left"));
  EXPECT_FALSE(std::equal(left.words().begin(), left.words().end(), right.words().begin()));
  EXPECT_TRUE(std::equal(left.words().begin(), left.words().end(), again.words().begin()));

  ChaChaKey from{from_hex(privacy_tests::kCountingKey)};
  const ChaChaKey to = std::move(from);
  EXPECT_TRUE(std::all_of(from.words().begin(), from.words().end(), [](std::uint32_t w) { return w == 0; }));
  EXPECT_EQ(to.words()[0], 0x03020100u);

  alignas(ChaChaKey) std::byte memory[sizeof(ChaChaKey)];
  auto* placed = new (memory) ChaChaKey{from_hex(privacy_tests::kCountingKey)};
  placed->~ChaChaKey();
  EXPECT_TRUE(std::all_of(std::begin(memory), std::end(memory), [](std::byte v) { return v == std::byte{0}; }));
}

}  // namespace
}  // namespace sutura
