#include "runtime/data/npz.h"

#include <gmock/gmock.h>
#include <zip.h>

#include "core/file.h"
#include "tests/data/scratch.h"

namespace sutura {
namespace testing {

void write_zip(const std::filesystem::path& path, const std::map<std::string, std::string>& members, Packing packing) {
  int code = 0;
  zip_t* z = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  ASSERT_NE(z, nullptr);
  for (const auto& [name, content] : members) {
    const zip_int64_t i = zip_file_add(z, name.c_str(), zip_source_buffer(z, content.data(), content.size(), 0), 0);
    ASSERT_GE(i, 0);
    const zip_int32_t method = packing == Packing::kStore ? ZIP_CM_STORE : ZIP_CM_DEFLATE;
    ASSERT_EQ(zip_set_file_compression(z, static_cast<zip_uint64_t>(i), method, 9), 0);
    ASSERT_EQ(zip_file_set_mtime(z, static_cast<zip_uint64_t>(i), 315532800, 0), 0);
  }
  ASSERT_EQ(zip_close(z), 0);
}

}  // namespace testing

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kCanary;
using testing::message_of;
using testing::npy;
using testing::Packing;
using testing::raw;
using testing::Scratch;
using testing::to_bytes;
using testing::write_zip;

const std::filesystem::path kFixtures = std::filesystem::path(SUTURA_SOURCE_DIR) / "tests/data/fixtures";

std::vector<float> floats(const NpyArray& a) {
  const Tensor t = to_float32(a);
  return {t.f32().begin(), t.f32().end()};
}
std::string npy_error(const std::string& content) {
  return message_of(Errc::kData, [&] { parse_npy(to_bytes(content), "x.npy"); });
}

TEST(Npy, ReadsEveryListedTypeAsNumPyWroteIt) {
  const std::map<std::string, std::vector<float>> expected = {
      {"b1", {0, 1, 1}},         {"i1", {-128, 0, 127}},  {"i2", {-300, 0, 300}},  {"i4", {-70000, 0, 70000}},
      {"i8", {-70000, 0, 5}},    {"u1", {0, 128, 255}},   {"u2", {0, 300, 65535}}, {"u4", {0, 1, 4294967040.0f}},
      {"f4", {-1.5f, 0, 2.25f}}, {"f8", {-1.5f, 0, 0.1f}}};
  for (const char* file : {"deflated.npz", "stored.npz"})
    for (const auto& [name, values] : expected) {
      const NpyArray a = read_array(kFixtures / file, name);
      EXPECT_EQ(a.shape, Shape({3, 1})) << name;
      EXPECT_EQ(floats(a), values) << name;
      EXPECT_EQ(is_integer(a.type), name[0] != 'f') << name;
      if (name[0] == 'f') continue;
      EXPECT_EQ(to_integers(a)[2], static_cast<std::int64_t>(values[2])) << name;
    }
}

TEST(Npy, ReadsFormats2And3AsNumPyWroteThem) {
  for (const char* file : {"version2", "version3"})
    EXPECT_EQ(floats(read_array(kFixtures / "folder", file)), (std::vector<float>{1, 2, 3, 4})) << file;
}

TEST(Npy, HeaderMayComeInAnyOrderAndQuoting) {
  std::string text = "{\"shape\":(2,),'fortran_order':False,'descr':'|u1'}\n";
  std::string content("\x93NUMPY\x01\x00", 8);
  content += static_cast<char>(text.size());
  content += '\0';
  EXPECT_EQ(floats(parse_npy(to_bytes(content + text + "\x01\x02"), "x")), (std::vector<float>{1, 2}));
}

TEST(Npy, DividesInDoubleAndRoundsOnce) {
  const NpyArray a = parse_npy(to_bytes(npy("'|u1'", "(2,)", raw<std::uint8_t>({51, 255}))), "x");
  const Tensor t = to_float32(a, 255.0);
  EXPECT_EQ(t.f32()[0], 0.2f);
  EXPECT_EQ(t.f32()[1], 1.0f);
}

TEST(Npy, RefusesTypesThatAreNotPlainLittleEndianNumbers) {
  const std::string four(4, '\0');
  EXPECT_EQ(npy_error(npy("'|O'", "(1,)", four)), "x.npy: object arrays are refused, they hold programs");
  EXPECT_EQ(npy_error(npy("'>f4'", "(1,)", four)), "x.npy: big-endian arrays are refused");
  EXPECT_EQ(npy_error(npy("[('a', '<f4')]", "(1,)", four)), "x.npy: structured types are refused");
  for (const char* descr : {"'<c8'", "'<U1'", "'|S4'", "'<M8[s]'", "'<f2'", "'<u8'", "'|V4'", "'f4'", "''", "'|f4'"})
    EXPECT_EQ(npy_error(npy(descr, "(1,)", four)),
              "x.npy: the element type is not one of b1 i1 i2 i4 i8 u1 u2 u4 f4 f8");
}

TEST(Npy, RefusesFortranOrderAndWrongSizes) {
  const std::string eight(8, '\1');
  EXPECT_THAT(npy_error(npy("'|u1'", "(2, 4)", eight, "True")), HasSubstr("Fortran order is refused"));
  EXPECT_EQ(npy_error(npy("'|u1'", "(3, 3)", eight)), "x.npy: the header says 9 bytes of values, there are 8");
  EXPECT_EQ(npy_error(npy("'|u1'", "(7,)", eight)), "x.npy: the header says 7 bytes of values, there are 8");
  EXPECT_THAT(npy_error(npy("'|u1'", "(-8,)", eight)), HasSubstr("not a count"));
  EXPECT_THAT(npy_error(npy("'|u1'", "(99999999999999999999,)", eight)), HasSubstr("not a count"));
  EXPECT_THAT(npy_error(npy("'<f8'", "(4294967296, 4294967296)", eight)), HasSubstr("too many elements"));
  EXPECT_THAT(npy_error(npy("'|u1'", "(1,1,1,1,1,1,8)", eight)), HasSubstr("at most six dimensions"));
}

TEST(Npy, RefusesMalformedHeaders) {
  const auto with_header = [](const std::string& text) {
    std::string content("\x93NUMPY\x01\x00", 8);
    content += static_cast<char>(text.size());
    content += '\0';
    return content + text;
  };
  for (const char* text :
       {"", "{", "{}", "{'descr': '|u1'}", "{'descr': '|u1', 'fortran_order': False, 'shape': (0,), 'x': 1}",
        "{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (0,)}",
        "{'descr': '|u1', 'fortran_order': 0, 'shape': (0,)}", "{'descr': '|u1', 'fortran_order': False, 'shape': 0}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (0,}",
        "{'descr': '|u1, 'fortran_order': False, 'shape': (0,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (0,)} x", "['descr']"})
    EXPECT_THAT(npy_error(with_header(text)),
                ::testing::AnyOf(HasSubstr("x.npy: the .npy header"), HasSubstr("in the .npy header")))
        << text;
  EXPECT_EQ(npy_error("no array at all"), "x.npy: not a .npy array");
  EXPECT_EQ(npy_error(std::string("\x93NUMPY\x04\x00\x01\x00 ", 11)), "x.npy: unknown .npy format version");
  EXPECT_EQ(npy_error(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff  ", 14)), "x.npy: the .npy header is too long");
}

TEST(Npy, CutAtAnyByteIsRefused) {
  const std::string whole = npy("'<f4'", "(2, 2)", raw<float>({1, 2, 3, 4}));
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_THAT(npy_error(whole.substr(0, n)), HasSubstr("x.npy: ")) << n;
  EXPECT_EQ(parse_npy(to_bytes(whole), "x").shape, Shape({2, 2}));
}

TEST(Npy, AnyChangedByteIsRefusedOrGivesAnArrayOfTheStatedSize) {
  const std::string whole = npy("'<f4'", "(2, 2)", raw<float>({1, 2, 3, 4}));
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int mask : {0x01, 0x10, 0x80, 0xff}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ mask);
      try {
        const NpyArray a = parse_npy(to_bytes(changed), "x");
        EXPECT_EQ(static_cast<std::size_t>(a.shape.elements()) * size_bytes(a.type), 16u) << at;
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Errc::kData) << at << ": " << e.what();
      }
    }
}

TEST(Npy, ValuesThatAreNotFiniteNameTheRecord) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const NpyArray a = parse_npy(to_bytes(npy("'<f4'", "(3, 2)", raw<float>({1, 73918264.0f, 3, 4, nan, 6}))), "x.npy");
  EXPECT_EQ(message_of(Errc::kData, [&] { to_float32(a); }),
            "x.npy: record 2 holds a value that is not finite in float32");
  const NpyArray big = parse_npy(to_bytes(npy("'<f8'", "(1,)", raw<double>({1e300}))), "x.npy");
  EXPECT_THAT(message_of(Errc::kData, [&] { to_float32(big); }), HasSubstr("record 0"));
  EXPECT_THAT(message_of(Errc::kData, [&] { to_integers(a); }), HasSubstr("expected whole numbers"));
}

TEST(Npz, EveryProblemNamesFileAndMember) {
  const Scratch scratch;
  const auto file = scratch.path("d.npz");
  write_zip(file, {{"x.npy", npy("'|O'", "(1,)", kCanary)}, {"y.npy", std::string(kCanary)}}, Packing::kStore);
  const auto error = [&](const std::filesystem::path& path, const char* member) {
    return message_of(Errc::kData, [&] { read_array(path, member); });
  };
  EXPECT_EQ(error(file, "x"), file.string() + ", member x: object arrays are refused, they hold programs");
  EXPECT_EQ(error(file, "y"), file.string() + ", member y: not a .npy array");
  EXPECT_EQ(error(file, "z"), file.string() + ", member z: no such member in the archive");
  EXPECT_EQ(error(scratch.path("none.npz"), "x"), scratch.path("none.npz").string() + ": no such file or folder");
  const auto text = scratch.write("text.npz", "this is no archive");
  EXPECT_THAT(error(text, "x"), HasSubstr(text.string() + ": not a readable .npz archive"));
  EXPECT_THAT(error(scratch.path(""), "x"), HasSubstr("x.npy: cannot open"));
  message_of(Errc::kConfig, [&] { read_array(scratch.path(""), "../x"); });
  message_of(Errc::kConfig, [&] { read_array(file, ""); });
}

TEST(Npz, ObjectArraysWrittenByNumPyAreRefused) {
  EXPECT_THAT(message_of(Errc::kData, [] { read_array(kFixtures / "object.npz", "names"); }),
              HasSubstr("member names: object arrays are refused"));
}

TEST(Npz, DeclaredSizeIsCheckedBeforeMemoryIsTaken) {
  const Scratch scratch;
  const auto bomb = scratch.path("bomb.npz");
  write_zip(bomb, {{"x.npy", npy("'|u1'", "(8388608,)", std::string(8388608, '\0'))}}, Packing::kDeflate);
  EXPECT_LT(std::filesystem::file_size(bomb), 20000u);
  EXPECT_THAT(message_of(Errc::kData, [&] { read_array(bomb, "x", 1 << 20); }), HasSubstr("the limit is 1048576"));
  EXPECT_EQ(read_array(bomb, "x").shape, Shape({8388608}));  // control: it is the limit that refused it
}

/// Replaces every occurrence of a 32-bit little-endian number.
std::string with_number(std::string content, std::uint32_t from, std::uint32_t to, int occurrences) {
  int found = 0;
  for (std::size_t i = 0; i + 4 <= content.size(); ++i) {
    if (load_le<std::uint32_t>(as_bytes(content), i) != from) continue;
    std::memcpy(content.data() + i, &to, 4);
    ++found;
  }
  EXPECT_EQ(found, occurrences);
  return content;
}

TEST(Npz, FalseSizesAreRefused) {
  const Scratch scratch;
  const std::string array = npy("'|u1'", "(3000,)", std::string(3000, '\7'));
  const auto size = static_cast<std::uint32_t>(array.size());
  const auto path = scratch.path("a.npz");
  write_zip(path, {{"x.npy", array}}, Packing::kDeflate);
  const std::string packed = read_text_file(path);
  ASSERT_EQ(read_array(path, "x").shape, Shape({3000}));
  // Local header and directory both say so, or libzip notices the contradiction first.
  scratch.write("a.npz", with_number(packed, size, 3'000'000'000u, 2));
  EXPECT_THAT(message_of(Errc::kData, [&] { read_array(path, "x"); }), HasSubstr("an impossible size for the member"));
  scratch.write("a.npz", with_number(packed, size, size - 1, 2));
  EXPECT_THAT(message_of(Errc::kData, [&] { read_array(path, "x"); }), HasSubstr("member x: the member is"));
  scratch.write("a.npz", with_number(packed, size, size + 1, 2));
  EXPECT_THAT(message_of(Errc::kData, [&] { read_array(path, "x"); }), HasSubstr("member x: the member is"));
}

TEST(Npz, AWrongChecksumIsRefused) {
  const Scratch scratch;
  const auto path = scratch.path("a.npz");
  write_zip(path, {{"x.npy", npy("'|u1'", "(4,)", "abcd")}}, Packing::kStore);
  std::string content = read_text_file(path);
  content[content.find("abcd") + 2] = 'X';
  scratch.write("a.npz", content);
  EXPECT_EQ(message_of(Errc::kData, [&] { read_array(path, "x"); }),
            path.string() + ", member x: the member is damaged: CRC error");
}

TEST(Npz, EncryptedMembersAreRefused) {
  const Scratch scratch;
  const auto path = scratch.path("a.npz");
  const std::string content = npy("'|u1'", "(4,)", "abcd");
  int code = 0;
  zip_t* z = zip_open(path.c_str(), ZIP_CREATE, &code);
  ASSERT_NE(z, nullptr);
  zip_file_add(z, "x.npy", zip_source_buffer(z, content.data(), content.size(), 0), 0);
  if (zip_file_set_encryption(z, 0, ZIP_EM_AES_256, "secret") != 0) {
    zip_discard(z);
    GTEST_SKIP() << "this libzip cannot encrypt";
  }
  ASSERT_EQ(zip_close(z), 0);
  EXPECT_THAT(message_of(Errc::kData, [&] { read_array(path, "x"); }), HasSubstr("member x: the member is encrypted"));
}

class DamagedArchive : public ::testing::TestWithParam<Packing> {
 protected:
  DamagedArchive() {
    write_zip(scratch_.path("a.npz"),
              {{"x.npy", npy("'|u1'", "(2, 4)", "abcdefgh")}, {"y.npy", npy("'<i2'", "(2,)", "1234")}}, GetParam());
    whole_ = read_text_file(scratch_.path("a.npz"));
  }
  Scratch scratch_;
  std::string whole_;
};

TEST_P(DamagedArchive, CutAtAnyByteIsRefused) {
  for (std::size_t n = 0; n < whole_.size(); ++n) {
    const auto path = scratch_.write("cut.npz", whole_.substr(0, n));
    EXPECT_THAT(message_of(Errc::kData, [&] { read_array(path, "x"); }), HasSubstr(path.string())) << n;
  }
}

TEST_P(DamagedArchive, AnyChangedByteIsRefusedOrChangesNothing) {
  int refused = 0;
  for (std::size_t at = 0; at < whole_.size(); ++at)
    for (const int mask : {0x01, 0xff}) {
      std::string changed = whole_;
      changed[at] = static_cast<char>(changed[at] ^ mask);
      const auto path = scratch_.write("changed.npz", changed);
      for (const auto& [member, values] : {std::pair{"x", "abcdefgh"}, std::pair{"y", "1234"}}) {
        try {
          const NpyArray a = read_array(path, member);
          const std::string_view file(reinterpret_cast<const char*>(a.file.data()), a.file.size());
          EXPECT_EQ(file.substr(a.offset), values) << at;
        } catch (const Error& e) {
          EXPECT_EQ(e.code(), Errc::kData) << at << ": " << e.what();
          ++refused;
        }
      }
    }
  EXPECT_GT(refused, static_cast<int>(whole_.size()));  // of four attempts a byte
}

INSTANTIATE_TEST_SUITE_P(Packings, DamagedArchive, ::testing::Values(Packing::kStore, Packing::kDeflate));

}  // namespace
}  // namespace sutura
