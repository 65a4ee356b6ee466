#include "runtime/data/csv.h"

#include <clocale>

#include "runtime/data/gzip.h"
#include "tests/data/scratch.h"

namespace sutura {
namespace {

using testing::gzipped;
using testing::kCanary;
using testing::message_of;
using testing::Scratch;

const std::string kValue(kCanary);

std::string parse_error(const std::string& text, const std::vector<std::string>& columns = {}) {
  return message_of(Errc::kData, [&] { parse_csv(text, "t.csv", columns); });
}

TEST(Csv, ReadsQuotesCrlfByteOrderMarkAndEmptyFields) {
  const CsvTable t = parse_csv(
      "\xEF\xBB\xBF"
      "a,\"b \"\"x\"\"\",c\r\n1,\"two, three\r\nfour\",\r\n\"\",,\"\"\"\"",
      "t.csv");
  EXPECT_EQ(t.columns(), (std::vector<std::string>{"a", "b \"x\"", "c"}));
  ASSERT_EQ(t.rows(), 2);
  EXPECT_EQ(t.text(0, 0), "1");
  EXPECT_EQ(t.text(0, 1), "two, three\r\nfour");
  EXPECT_EQ(t.text(0, 2), "");
  EXPECT_EQ(t.text(1, 0), "");
  EXPECT_EQ(t.text(1, 1), "");
  EXPECT_EQ(t.text(1, 2), "\"");
}

TEST(Csv, LastLineMayOrMayNotEndInALineFeed) {
  for (const char* text : {"a,b\n1,2\n3,", "a,b\n1,2\n3,\n", "a,b\r\n1,2\r\n3,\r\n"}) {
    const CsvTable t = parse_csv(text, "t.csv");
    ASSERT_EQ(t.rows(), 2);
    EXPECT_EQ(t.text(1, 0), "3");
    EXPECT_EQ(t.text(1, 1), "");
  }
}

TEST(Csv, WithoutHeaderTheColumnsAreGivenAndRowsCountFromOne) {
  const CsvTable t = parse_csv("1,x\n2,y\n", "t.csv", {"n", "s"});
  ASSERT_EQ(t.rows(), 2);
  EXPECT_EQ(t.text(0, 0), "1");
  EXPECT_EQ(t.place(1, 1), "t.csv row 2, column 's'");
  EXPECT_EQ(parse_error("1,x\n2\n", {"n", "s"}), "t.csv row 2: 1 field, data.table.columns has 2");
}

TEST(Csv, RaggedRowsAreNamed) {
  std::string text = "a,b,c\n";
  for (int i = 2; i < 17; ++i) text += "1,2,3\n";
  EXPECT_EQ(parse_error(text + kValue + ",2\n"), "t.csv row 17: 2 fields, the header has 3");
  EXPECT_EQ(parse_error(text + kValue + ",2,3,4\n"), "t.csv row 17: 4 fields, the header has 3");
  EXPECT_EQ(parse_error(text + "\n"), "t.csv row 17: 1 field, the header has 3");
}

TEST(Csv, MalformedTextIsRefusedWithItsRow) {
  EXPECT_EQ(parse_error(""), "t.csv: the file is empty");
  EXPECT_EQ(parse_error("\xEF\xBB\xBF"), "t.csv: the file is empty");
  EXPECT_EQ(parse_error("a,b\n"), "t.csv: no data rows");
  EXPECT_EQ(parse_error("a\n\"" + kValue), "t.csv row 2: a quoted field does not end");
  EXPECT_EQ(parse_error("a\n1\n\"" + kValue + "\"x\n"), "t.csv row 3: text after a closing quote");
  EXPECT_EQ(parse_error("a\n" + kValue + "\"x\"\n"),
            "t.csv row 2: a quote inside a field that does not begin with one");
  EXPECT_EQ(parse_error("a\n" + kValue + "\r2\n"), "t.csv row 2: a carriage return without a line feed");
  EXPECT_EQ(parse_error("a\n" + kValue + "\r"), "t.csv row 2: a carriage return without a line feed");
  EXPECT_EQ(parse_error("a\n" + kValue + std::string(1, '\0') + "\n"), "t.csv row 2: a NUL byte");
  EXPECT_EQ(parse_error("a\n\"" + kValue + std::string(1, '\0') + "\"\n"), "t.csv row 2: a NUL byte");
  EXPECT_EQ(parse_error("a,b,a\n1,2,3\n"), "t.csv: two columns are named 'a'");
  EXPECT_EQ(parse_error("a,,c\n1,2,3\n"), "t.csv: column 2 has no name");
}

TEST(Csv, NumbersAreExactAndLocaleFree) {
  const char* before = std::setlocale(LC_NUMERIC, nullptr);
  const std::string restore = before;
  std::setlocale(LC_NUMERIC, "de_DE.UTF-8");  // without effect where the locale is not installed
  const CsvTable t = parse_csv("v\n17.99\n-1e-3\n.5\n1E5\n0\n5.\n", "t.csv");
  const double expected[] = {17.99, -1e-3, 0.5, 1e5, 0.0, 5.0};
  for (std::int64_t i = 0; i < 6; ++i) EXPECT_EQ(t.number(i, 0), expected[i]);
  std::setlocale(LC_NUMERIC, restore.c_str());
}

TEST(Csv, BadNumbersNameRowAndColumnButNotTheValue) {
  for (const std::string& bad : {kValue + "x", "x" + kValue, std::string(), std::string("1,5"), " " + kValue,
                                 kValue + " ", "+" + kValue, "0x" + kValue, std::string("1e5e5"), std::string("--1")}) {
    const CsvTable t = parse_csv("id,age\n1,2\n3,\"" + bad + "\"\n", "t.csv");
    EXPECT_EQ(message_of(Errc::kData, [&] { t.number(1, 1); }), "t.csv row 3, column 'age': not a number") << bad;
  }
  for (const char* bad : {"inf", "-inf", "nan", "NaN", "INFINITY", "nan(123)"}) {
    const CsvTable t = parse_csv(std::string("age\n") + bad + "\n", "t.csv");
    EXPECT_EQ(message_of(Errc::kData, [&] { t.number(0, 0); }), "t.csv row 2, column 'age': not a finite number")
        << bad;
  }
  for (const char* bad : {"1e39", "-4e38", "1e999"}) {
    const CsvTable t = parse_csv(std::string("age\n") + bad + "\n", "t.csv");
    EXPECT_EQ(message_of(Errc::kData, [&] { t.number(0, 0); }),
              "t.csv row 2, column 'age': outside the range of float32");
  }
}

TEST(Csv, UnknownColumnNamesTheSettingThatAsks) {
  const CsvTable t = parse_csv("a\n1\n", "t.csv");
  EXPECT_EQ(message_of(Errc::kData, [&] { t.column("b", "data.table.label"); }),
            "t.csv: no column 'b', which data.table.label names");
}

TEST(Csv, ReadsGzipAndPlainFilesAlike) {
  const Scratch scratch;
  const std::string text = "a,b\n1,2\n3,4\n";
  for (const auto& path : {scratch.write("t.csv", text), scratch.write("t.csv.gz", gzipped(text)),
                           scratch.write("two.csv.gz", gzipped("a,b\n1,2\n") + gzipped("3,4\n"))}) {
    const CsvTable t = read_csv(path);
    ASSERT_EQ(t.rows(), 2) << path;
    EXPECT_EQ(t.number(1, 1), 4.0);
  }
}

TEST(Csv, UnusableFilesNameThemselves) {
  const Scratch scratch;
  const std::string text = "a,b\n" + kValue + ",2\n";
  const auto expect = [&](const std::filesystem::path& path, const std::string& what) {
    const std::string message = message_of(Errc::kData, [&] { read_csv(path, {}, 1 << 20); });
    EXPECT_NE(message.find(path.string()), std::string::npos) << message;
    EXPECT_NE(message.find(what), std::string::npos) << message;
  };
  expect(scratch.path("none.csv"), "cannot open");
  expect(scratch.path(""), "not a regular file");
  expect(scratch.write("plain.csv.gz", text), "not a gzip file");
  expect(scratch.write("bomb.csv.gz", gzipped(std::string(std::size_t{8} << 20, '1'))),
         "unpacks to more than 1048576 bytes");
  expect(scratch.write("tail.csv.gz", gzipped(text) + "more"), "bytes follow the end");
  std::string damaged = gzipped(text);
  damaged[damaged.size() - 7] ^= 1;  // in the CRC-32
  expect(scratch.write("crc.csv.gz", damaged), "the gzip data is damaged");
}

TEST(Csv, GzipCutAtAnyByteIsRefused) {
  const std::string whole = gzipped("a,b\n" + kValue + ",2\n3,4\n");
  for (std::size_t n = 2; n < whole.size(); ++n)
    EXPECT_EQ(message_of(Errc::kData, [&] { gunzip(as_bytes(whole.substr(0, n)), "t.csv.gz", 1000); }),
              "t.csv.gz: the gzip data is truncated")
        << n;
  EXPECT_EQ(gunzip(as_bytes(whole), "t.csv.gz", 1000), "a,b\n" + kValue + ",2\n3,4\n");
}

TEST(Csv, ALimitOfExactlyTheSizeIsEnough) {
  const std::string packed = gzipped("a\n12345\n");
  EXPECT_EQ(gunzip(as_bytes(packed), "t", 8).size(), 8u);
  message_of(Errc::kData, [&] { gunzip(as_bytes(packed), "t", 7); });
}

}  // namespace
}  // namespace sutura
