#include "core/bytes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/unit/pinned_values.h"

namespace sutura {
namespace {

using testing::kCrcs;
using testing::kHashes;
using testing::pattern;

TEST(Crc32, CheckValue) {
  EXPECT_EQ(crc32(as_bytes("123456789")), 0xCBF43926u);
  EXPECT_EQ(crc32({}), 0u);
}

TEST(Crc32, EqualsZlibAtEveryLengthAndAlignment) {
  for (std::size_t size = 0; size < std::size(kCrcs); ++size) {
    for (std::size_t shift = 0; shift < 8; ++shift) {
      Bytes shifted(shift);
      const Bytes bytes = pattern(size);
      shifted.insert(shifted.end(), bytes.begin(), bytes.end());
      ASSERT_EQ(crc32(ByteSpan(shifted).subspan(shift)), kCrcs[size]) << size << " bytes at " << shift;
    }
  }
}

TEST(Crc32, PartsGoOnFromTheSumBefore) {
  const Bytes bytes = pattern(100);
  const std::uint32_t whole = crc32(bytes);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut)
    ASSERT_EQ(crc32(ByteSpan(bytes).subspan(cut), crc32(ByteSpan(bytes).first(cut))), whole) << cut;
}

TEST(Crc32, LongSpansEqualTheirShortParts) {
  // Parts under 64 bytes take the tables, which are compared with zlib above; long spans are folded where the CPU can.
  for (const std::size_t size : {64u, 65u, 79u, 80u, 127u, 128u, 129u, 191u, 192u, 207u, 256u, 1000u, 4103u}) {
    const Bytes bytes = pattern(size);
    std::uint32_t sum = 0;
    for (std::size_t at = 0; at < size; at += 50) sum = crc32(ByteSpan(bytes).subspan(at, std::min<std::size_t>(50, size - at)), sum);
    EXPECT_EQ(crc32(bytes), sum) << size;
  }
}

TEST(Crc32, SeesEverySingleBit) {
  Bytes bytes = pattern(40);
  const std::uint32_t intact = crc32(bytes);
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    const auto mask = static_cast<std::byte>(1u << bit % 8);
    bytes[bit / 8] ^= mask;
    ASSERT_NE(crc32(bytes), intact) << bit;
    bytes[bit / 8] ^= mask;
  }
}

TEST(Blake2b, EqualsPythonsHashlib) {
  for (const auto& h : kHashes) {
    EXPECT_EQ(to_hex(blake2b_keyed(pattern(h.key_size), pattern(h.size))), h.hex) << h.size << " bytes, key of " << h.key_size;
    if (h.key_size == 0) {
      EXPECT_EQ(to_hex(blake2b(pattern(h.size))), h.hex) << h.size;
    }
  }
  EXPECT_EQ(to_hex(blake2b(as_bytes("abc"))), "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

TEST(Blake2b, AKeyOfMoreThan64BytesIsRefused) {
  EXPECT_NO_THROW(blake2b_keyed(pattern(64), {}));
  try {
    blake2b_keyed(pattern(65), {});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kInvalidArgument);
  }
}

TEST(Hex, AllBytesThereAndBack) {
  Bytes all(256);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::byte>(i);
  const std::string text = to_hex(all);
  ASSERT_EQ(text.size(), 512u);
  EXPECT_EQ(text.substr(0, 8), "00010203");
  EXPECT_EQ(text.substr(504), "fcfdfeff");
  EXPECT_EQ(from_hex(text), all);
  EXPECT_EQ(from_hex("aAbBfF09"), from_hex("AAbbFf09"));
  EXPECT_EQ(to_hex({}), "");
  EXPECT_TRUE(from_hex("").empty());
}

TEST(Hex, WhatIsNoHexIsRefusedAndNotRepeated) {
  // The neighbours of the three ranges of digits, a sign, a prefix, and a zero byte; first and last place.
  std::vector<std::string> wrong = {"0",
                                    "000",
                                    "0x",
                                    "+1",
                                    "-1",
                                    " 1",
                                    "1 ",
                                    std::string("\0"
                                                "0",
                                                2)};
  for (const char c : {'/', ':', '@', 'G', '`', 'g', '\xff'}) {
    wrong.push_back(std::string("00") + c + "0");
    wrong.push_back(std::string("000") + c);
  }
  for (const std::string& text : wrong) {
    try {
      from_hex(text);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kInvalidArgument) << text;
      EXPECT_EQ(std::string(e.what()).find(text), std::string::npos) << e.what();  // it may have been a key
    }
  }
}

TEST(LittleEndian, BytesLieLowFirst) {
  Bytes bytes(9);
  store_le(std::span(bytes), 1, std::uint64_t{0x0102030405060708});
  EXPECT_EQ(to_hex(bytes), "000807060504030201");
  EXPECT_EQ(load_le<std::uint64_t>(bytes, 1), 0x0102030405060708u);
  EXPECT_EQ(load_le<std::uint16_t>(bytes, 1), 0x0708u);
  EXPECT_EQ(load_le<std::int8_t>(bytes, 8), 1);
}

}  // namespace
}  // namespace sutura
