#include "runtime/trust/sealed.h"

#include <gtest/gtest.h>
#include <sodium.h>

#include <algorithm>
#include <fstream>

#include "core/error.h"
#include "runtime/trust/roster.h"
#include "transport/security.h"

namespace sutura {
namespace {

Bytes text(std::string_view s) { return {as_bytes(s).begin(), as_bytes(s).end()}; }
Identity fresh() { return Identity(new_key_pair().secret_z85); }

bool refused(const Bytes& sealed, ByteSpan header, const Identity& recipient, const PublicKey& sender) {
  try {
    (void)open_sealed(sealed, header, recipient, sender);
    return false;
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kAuthentication);
    EXPECT_STREQ(e.what(), "a sealed message is altered, or from another sender, for another recipient or purpose");
    return true;
  }
}

class Sealed : public testing::Test {
 protected:
  const Identity north = fresh(), south = fresh(), west = fresh(), stranger = fresh();
  const Bytes header = text("run 7, weights, step 3"), plain = text("forty-two secret parameters");
  const std::vector<PublicKey> both{south.open_key(), west.open_key()};
  const Bytes sealed = seal(plain, header, north, both);
};

TEST_F(Sealed, EveryRecipientOpensIt) {
  EXPECT_EQ(sealed.size(), plain.size() + sealed_overhead(2));
  EXPECT_EQ(open_sealed(sealed, header, south, north.open_key()), plain);
  EXPECT_EQ(open_sealed(sealed, header, west, north.open_key()), plain);
  const Bytes needle = text("secret"), own(north.secret().begin(), north.secret().end());
  for (const Bytes& n : {needle, own}) EXPECT_EQ(std::search(sealed.begin(), sealed.end(), n.begin(), n.end()), sealed.end());
}

TEST_F(Sealed, NobodyElseDoesAndNothingElseOpens) {
  EXPECT_TRUE(refused(sealed, header, stranger, north.open_key()));
  EXPECT_TRUE(refused(sealed, header, north, north.open_key()));
  EXPECT_TRUE(refused(sealed, text("run 7, weights, step 4"), south, north.open_key()));
  EXPECT_TRUE(refused(sealed, {}, south, north.open_key()));
  EXPECT_TRUE(refused(sealed, header, south, west.open_key()));
  // Both directions share a wrap key; a message must still not return to its writer as the other's.
  EXPECT_TRUE(refused(sealed, header, north, south.open_key()));
}

TEST_F(Sealed, EveryTruncationExtensionAndFlipIsRefused) {
  for (std::size_t n = 0; n < sealed.size(); ++n)
    EXPECT_TRUE(refused(Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(n)), header, south, north.open_key()))
        << n;
  Bytes longer = sealed;
  longer.push_back(std::byte{0});
  EXPECT_TRUE(refused(longer, header, south, north.open_key()));
  const std::size_t others_wrap = 8 + 4 + 24 + 48;  // south opens with the first wrap and never needs the second
  std::size_t opened = 0;
  for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    Bytes flipped = sealed;
    flipped[bit / 8] ^= std::byte(1u << (bit % 8));
    const bool elsewhere = bit / 8 >= others_wrap && bit / 8 < others_wrap + 48;
    if (elsewhere) {
      EXPECT_TRUE(refused(flipped, header, west, north.open_key())) << bit;
      EXPECT_EQ(open_sealed(flipped, header, south, north.open_key()), plain);
      ++opened;
    } else {
      EXPECT_TRUE(refused(flipped, header, south, north.open_key())) << bit;
    }
  }
  EXPECT_EQ(opened, 8u * 48u);
}

TEST_F(Sealed, RandomBytesAreRefused) {
  for (std::size_t n = 0; n < 400; ++n) {
    Bytes noise(n);
    if (n > 0) randombytes_buf(noise.data(), noise.size());
    std::copy_n(sealed.begin(), std::min<std::size_t>(n, n % 2 ? 12 : 8), noise.begin());
    EXPECT_TRUE(refused(noise, header, south, north.open_key()));
  }
}

/// The content key as a recipient holds it, computed from the description of the format alone.
std::array<unsigned char, 32> content_key(const Bytes& sealed, std::size_t wrap, ByteSpan header, const Identity& recipient,
                                          const PublicKey& sender, std::size_t recipients) {
  const auto at = [](ByteSpan s) { return reinterpret_cast<const unsigned char*>(s.data()); };
  std::array<unsigned char, 32> shared, key, out;
  EXPECT_EQ(crypto_box_beforenm(shared.data(), at(sender), at(recipient.secret())), 0);
  const std::string context = "sutura sealed v1";
  crypto_generichash(key.data(), 32, at(as_bytes(std::string_view(context))), context.size(), shared.data(), 32);
  const ByteSpan content = ByteSpan(sealed).subspan(36 + 48 * recipients);
  Bytes bound(sender.begin(), sender.end());
  const Digest h = blake2b(header), c = blake2b(content);
  for (const ByteSpan part : {ByteSpan(recipient.open_key()), ByteSpan(h), ByteSpan(c)})
    bound.insert(bound.end(), part.begin(), part.end());
  EXPECT_EQ(crypto_aead_xchacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, at(sealed) + 36 + 48 * wrap, 48, at(bound),
                                                       bound.size(), at(sealed) + 12, key.data()),
            0);
  return out;
}

// A recipient knows the content key, and the server carries the message: together they must not change what another recipient reads.
TEST_F(Sealed, ARecipientCannotPutOtherContentBeforeAnother) {
  const auto key = content_key(sealed, 0, header, south, north.open_key(), 2);
  const auto raw = [](const Bytes& b) { return reinterpret_cast<const unsigned char*>(b.data()); };
  Bytes forged = sealed;
  auto* content = reinterpret_cast<unsigned char*>(forged.data()) + 36 + 96;
  const unsigned char* nonce = raw(sealed) + 12;
  // The control: with the true content the splice is the message itself, so the key is the right one.
  crypto_aead_xchacha20poly1305_ietf_encrypt(content, nullptr, raw(plain), plain.size(), raw(header), header.size(), nullptr,
                                             nonce, key.data());
  EXPECT_EQ(forged, sealed);
  Bytes other = plain;
  other[0] ^= std::byte{1};
  crypto_aead_xchacha20poly1305_ietf_encrypt(content, nullptr, raw(other), other.size(), raw(header), header.size(), nullptr,
                                             nonce, key.data());
  EXPECT_TRUE(refused(forged, header, west, north.open_key()));
}

TEST_F(Sealed, EmptyAndLargeContent) {
  const std::vector<PublicKey> one{west.open_key()};
  EXPECT_TRUE(open_sealed(seal({}, {}, south, one), {}, west, south.open_key()).empty());
  Bytes large(3'000'001);
  randombytes_buf(large.data(), large.size());
  EXPECT_EQ(open_sealed(seal(large, header, south, one), header, west, south.open_key()), large);
  EXPECT_NE(seal(plain, header, north, both), sealed) << "two messages under one key and nonce";
}

TEST_F(Sealed, WhoMayBeARecipient) {
  const auto fails = [&](const std::vector<PublicKey>& recipients, Errc code) {
    try {
      (void)seal(plain, header, north, recipients);
      return false;
    } catch (const Error& e) {
      return e.code() == code;
    }
  };
  EXPECT_TRUE(fails({}, Errc::kInvalidArgument));
  EXPECT_TRUE(fails({south.open_key(), south.open_key()}, Errc::kInvalidArgument));
  EXPECT_TRUE(fails({PublicKey{}}, Errc::kAuthentication)) << "a point of small order gives a secret that all know";
  EXPECT_TRUE(refused(sealed, header, south, PublicKey{}));
}

TEST(Roster, NamesAndKeys) {
  const KeyPair north = new_key_pair(), south = new_key_pair();
  const auto path = std::filesystem::path(testing::TempDir()) / "roster_test_peers";
  std::ofstream(path) << "# who takes part\nnorth " << north.public_z85 << "\nsouth\t" << south.public_z85 << "\n";
  const Roster roster = load_roster(path);
  std::filesystem::remove(path);
  ASSERT_EQ(roster.size(), 2u);
  EXPECT_EQ(key_of(roster, "north"), Identity(north.secret_z85).open_key());
  EXPECT_EQ(keys_of_others(roster, {"south", "north"}, "north"), std::vector<PublicKey>{public_key(south.public_z85)});
  EXPECT_THROW((void)key_of(roster, "west"), Error);
  EXPECT_THROW((void)load_roster("/nowhere/at/all"), Error);
  EXPECT_THROW(Identity("not a key"), Error);
  EXPECT_THROW((void)public_key(std::string(40, '#')), Error);
}

}  // namespace
}  // namespace sutura
