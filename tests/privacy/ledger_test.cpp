#include "runtime/privacy/ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <numeric>
#include <optional>
#include <string>

#include "core/error.h"
#include "core/random/philox.h"
#include "store_doubles.h"

namespace sutura {
namespace {

using privacy_tests::code_of;
using privacy_tests::Disk;
using privacy_tests::store_on;

const Budget kLoose = {1000.0, 1e-5};
const DpEvent kEvent = GaussianEvent{2.0};

std::vector<std::int64_t> range(std::int64_t first, std::int64_t last) {
  std::vector<std::int64_t> r(static_cast<std::size_t>(last - first + 1));
  std::iota(r.begin(), r.end(), first);
  return r;
}

TEST(Ledger, CountsEveryRecordExactlyAcrossReloads) {
  Disk disk;
  std::vector<std::uint64_t> expected(500);
  std::uint64_t charges = 0;
  PhiloxStream random(1, "ledger");
  for (int session = 0; session < 3; ++session) {
    Ledger ledger(store_on(disk), "hospital_a", kLoose);
    EXPECT_EQ(ledger.note(), "");
    EXPECT_EQ(ledger.charges(), charges);
    for (std::uint64_t step = 0; step < 30; ++step) {
      std::vector<std::int64_t> records;
      for (int i = 0; i < 40; ++i) records.push_back(static_cast<std::int64_t>(random.next_below(500)));  // some twice
      ledger.charge("run" + std::to_string(session), {1, step, 2, 3}, records,
                    step % 3 == 0 ? DpEvent{GaussianEvent{8.0}} : kEvent);
      for (const std::int64_t r : records) ++expected[static_cast<std::size_t>(r)];
      ++charges;
    }
  }
  Ledger ledger(store_on(disk), "hospital_a", kLoose);
  for (std::size_t r = 0; r < 500; ++r) EXPECT_EQ(ledger.releases(static_cast<std::int64_t>(r)), expected[r]);
  EXPECT_EQ(ledger.most_releases(), *std::max_element(expected.begin(), expected.end()));
  EXPECT_EQ(ledger.releases(1'000'000), 0u);
  EXPECT_TRUE(ledger.charged("run1", {1, 29, 2, 3}));
  EXPECT_FALSE(ledger.charged("run1", {1, 30, 2, 3}));
  EXPECT_FALSE(ledger.charged("run9", {1, 29, 2, 3}));
}

TEST(Ledger, TotalIsTheEpsilonOfTheMostReleasedRecord) {
  Disk disk;
  Ledger ledger(store_on(disk), "h", kLoose);
  EXPECT_EQ(ledger.total(), 0.0);
  ledger.charge("r", {0, 0, 0, 0}, range(0, 99), GaussianEvent{2.0});
  EXPECT_DOUBLE_EQ(ledger.total(), gaussian_epsilon(2.0, 1, 1e-5));
  ledger.charge("r", {0, 1, 0, 0}, range(50, 149), GaussianEvent{2.0});
  EXPECT_NEAR(ledger.total(), gaussian_epsilon(2.0, 2, 1e-5), 1e-12);
  ledger.charge("r", {0, 2, 0, 0}, range(60, 60), GaussianEvent{1.0});
  Accountant a;
  a.add(GaussianEvent{2.0}, 2);
  a.add(GaussianEvent{1.0}, 1);
  EXPECT_NEAR(ledger.total(), a.epsilon(1e-5), 1e-12);
  EXPECT_NEAR(ledger.total(1e-8), a.epsilon(1e-8), 1e-12);
  Ledger again(store_on(disk), "h", kLoose);
  EXPECT_EQ(again.total(), ledger.total());
  EXPECT_EQ(again.head(), ledger.head());
}

TEST(Ledger, StopsBeforeTheBudgetIsCrossed) {
  Disk disk;
  const double z = gaussian_noise_multiplier(4.0, 3, 1e-5);
  Ledger ledger(store_on(disk), "h", {4.0, 1e-5});
  for (std::uint64_t step = 0; step < 3; ++step) ledger.charge("r", {0, step, 0, 0}, range(0, 9), GaussianEvent{z});
  const Bytes before = disk.bytes;
  EXPECT_EQ(code_of([&] { ledger.check(range(0, 9), GaussianEvent{z}); }), Errc::kPrivacyBudget);
  EXPECT_EQ(code_of([&] { ledger.check(range(9, 12), GaussianEvent{z}); }), Errc::kPrivacyBudget);
  EXPECT_EQ(code_of([&] { ledger.charge("r", {0, 3, 0, 0}, range(9, 9), GaussianEvent{z}); }), Errc::kPrivacyBudget);
  EXPECT_EQ(disk.bytes, before);
  EXPECT_LE(ledger.total(), 4.0);
  // Records that have budget left still go, three times in one message but not four.
  const std::vector<std::int64_t> three(3, 20), four(4, 21);
  EXPECT_NO_THROW(ledger.check(three, GaussianEvent{z}));
  EXPECT_EQ(code_of([&] { ledger.check(four, GaussianEvent{z}); }), Errc::kPrivacyBudget);
  EXPECT_EQ(code_of([&] { ledger.check(three, NonPrivateEvent{"plain"}); }), Errc::kPrivacyBudget);
  // The stop survives a restart.
  Ledger again(store_on(disk), "h", {4.0, 1e-5});
  EXPECT_EQ(code_of([&] { again.check(range(0, 0), GaussianEvent{z}); }), Errc::kPrivacyBudget);
}

TEST(Ledger, IsCutAtEveryByteWithoutLosingACompleteLine) {
  Disk disk;
  std::vector<std::size_t> line_ends;
  {
    Ledger ledger(store_on(disk), "hospital_a", kLoose);
    line_ends.push_back(disk.bytes.size());
    for (std::uint64_t step = 0; step < 4; ++step) {
      ledger.charge("run", {0, step, 0, 0}, range(0, 5 + static_cast<std::int64_t>(step)), kEvent);
      line_ends.push_back(disk.bytes.size());
    }
  }
  for (std::size_t size = 0; size <= disk.bytes.size(); ++size) {
    Disk cut{Bytes(disk.bytes.begin(), disk.bytes.begin() + static_cast<std::ptrdiff_t>(size)), -1};
    Ledger ledger(store_on(cut), "hospital_a", kLoose);
    std::uint64_t whole = 0;
    for (std::size_t i = 1; i < line_ends.size(); ++i) whole += line_ends[i] <= size;
    ASSERT_EQ(ledger.charges(), whole) << size;
    ASSERT_EQ(ledger.releases(0), whole);
    const bool clean = size == 0 || std::find(line_ends.begin(), line_ends.end(), size) != line_ends.end();
    ASSERT_EQ(ledger.note().empty(), clean) << size;
    ledger.charge("run", {0, 77, 0, 0}, range(0, 0), kEvent);  // and it goes on
    Ledger after(store_on(cut), "hospital_a", kLoose);
    ASSERT_EQ(after.releases(0), whole + 1);
    ASSERT_EQ(after.note(), "");
  }
}

TEST(Ledger, RefusesAnyChangedByteOfACompleteLine) {
  Disk disk;
  {
    Ledger ledger(store_on(disk), "hospital_a", kLoose);
    for (std::uint64_t step = 0; step < 3; ++step) ledger.charge("run", {0, step, 0, 0}, range(3, 5), kEvent);
  }
  const std::size_t last_newline = disk.bytes.size() - 1;
  for (std::size_t at = 0; at < last_newline; ++at) {
    Disk changed = disk;
    changed.bytes[at] ^= std::byte{1};
    ASSERT_EQ(code_of([&] { Ledger(store_on(changed), "hospital_a", kLoose); }), Errc::kData) << at;
  }
  // A removed, a doubled and a swapped line.
  std::string text(reinterpret_cast<const char*>(disk.bytes.data()), disk.bytes.size());
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    lines.push_back(text.substr(at, text.find('\n', at) + 1 - at));
  ASSERT_EQ(lines.size(), 4u);
  for (const std::vector<int>& order : {std::vector<int>{0, 1, 3}, {0, 2, 3}, {0, 1, 2, 2}, {0, 2, 1, 3}, {1, 2, 3}}) {
    std::string joined;
    for (const int i : order) joined += lines[static_cast<std::size_t>(i)];
    const ByteSpan b = as_bytes(joined);
    Disk changed{Bytes(b.begin(), b.end()), -1};
    EXPECT_EQ(code_of([&] { Ledger(store_on(changed), "hospital_a", kLoose); }), Errc::kData);
  }
  EXPECT_EQ(code_of([&] { Ledger(store_on(disk), "hospital_b", kLoose); }), Errc::kData);
  EXPECT_NO_THROW(Ledger(store_on(disk), "hospital_a", kLoose));
}

const LedgerSource kFile = {blake2b(as_bytes("the file")), "rows below a header line"};

std::string refusal(Disk& disk, const std::optional<LedgerSource>& source) {
  const Bytes before = disk.bytes;
  try {
    Ledger(store_on(disk), "h", kLoose, source);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kData);
    EXPECT_EQ(disk.bytes, before);
    return e.what();
  }
  return "";
}

TEST(Ledger, GoesOnOnlyWithTheDataFileThatItBeganWith) {
  Disk disk;
  {
    Ledger ledger(store_on(disk), "h", kLoose, kFile);
    ledger.charge("r", {0, 0, 0, 0}, range(0, 9), kEvent);
  }
  EXPECT_EQ(refusal(disk, kFile), "");
  LedgerSource changed = kFile;
  changed.digest[31] ^= std::byte{1};
  EXPECT_THAT(refusal(disk, changed),
              ::testing::AllOf(::testing::HasSubstr("the data file has changed since this ledger began: record numbers no "
                                                    "longer mean the same records"),
                               ::testing::HasSubstr("a new ledger only if the records are new")));
  LedgerSource recounted = kFile;
  recounted.numbering = "rows, no header line";
  EXPECT_THAT(refusal(disk, recounted), ::testing::HasSubstr("counts records over rows below a header line, the study over "
                                                             "rows, no header line"));
  Ledger again(store_on(disk), "h", kLoose, kFile);
  again.charge("r", {0, 1, 0, 0}, range(5, 14), kEvent);
  EXPECT_EQ(again.releases(5), 2u);
  EXPECT_EQ(again.releases(14), 1u);
}

TEST(Ledger, OpenedWithoutItsDataFileCanOnlyBeRead) {
  Disk disk;
  Ledger(store_on(disk), "h", kLoose, kFile).charge("r", {0, 0, 0, 0}, range(0, 9), kEvent);
  const Bytes before = disk.bytes;
  for (const Budget& budget : {kLoose, Budget{std::numeric_limits<double>::infinity(), 1e-5}}) {
    Ledger reader(store_on(disk), "h", budget);
    EXPECT_EQ(reader.releases(9), 1u);
    EXPECT_GT(reader.total(), 0.0);
    EXPECT_EQ(code_of([&] { reader.check(range(0, 0), kEvent); }), Errc::kInvalidArgument);
    EXPECT_EQ(code_of([&] { reader.charge("r", {0, 1, 0, 0}, range(0, 0), kEvent); }), Errc::kInvalidArgument);
  }
  EXPECT_EQ(disk.bytes, before);
}

TEST(Ledger, WithoutASourceIsNotTakenForAStudy) {
  Disk disk;
  Ledger(store_on(disk), "h", kLoose).charge("r", {0, 0, 0, 0}, range(0, 9), kEvent);
  EXPECT_THAT(refusal(disk, kFile), ::testing::HasSubstr("does not say which data file"));
  EXPECT_EQ(refusal(disk, std::nullopt), "");  // an audit goes on as before
  Disk fresh;
  EXPECT_EQ(code_of([&] { Ledger(store_on(fresh), "h", kLoose, LedgerSource{}); }), Errc::kInvalidArgument);
  EXPECT_TRUE(fresh.bytes.empty());
}

TEST(Ledger, HeaderCutAtEveryByteIsBoundAgainAndAChangedOneIsRefused) {
  Disk disk;
  { Ledger ledger(store_on(disk), "h", kLoose, kFile); }
  for (std::size_t size = 0; size < disk.bytes.size(); ++size) {
    Disk cut{Bytes(disk.bytes.begin(), disk.bytes.begin() + static_cast<std::ptrdiff_t>(size)), -1};
    { Ledger ledger(store_on(cut), "h", kLoose, kFile); }
    ASSERT_EQ(cut.bytes, disk.bytes) << size;
    Disk changed = disk;
    changed.bytes[size] ^= std::byte{1};
    if (size + 1 == disk.bytes.size()) continue;  // without its line feed it is a torn line
    ASSERT_NE(refusal(changed, kFile), "") << size;
  }
}

TEST(Ledger, StaysSmallAndRefusesNonsense) {
  Disk disk;
  Ledger ledger(store_on(disk), "h", kLoose);
  const std::size_t before = disk.bytes.size();
  ledger.charge("r", {0, 0, 0, 0}, range(0, 99'999), kEvent);
  EXPECT_LT(disk.bytes.size() - before, 300u);
  const std::vector<std::int64_t> negative = {-1}, huge = {std::int64_t{1} << 40};
  EXPECT_EQ(code_of([&] { ledger.check(negative, kEvent); }), Errc::kInvalidArgument);
  EXPECT_EQ(code_of([&] { ledger.check(huge, kEvent); }), Errc::kInvalidArgument);
  EXPECT_EQ(code_of([&] { ledger.check(range(0, 1), GaussianEvent{std::nan("")}); }), Errc::kInvalidArgument);
  EXPECT_EQ(code_of([&] { ledger.charge("r", {0, 0, 0, 0}, range(0, 1), kEvent); }), Errc::kInternal);
  EXPECT_THROW(Ledger(memory_store(), "h", {0.0, 1e-5}), Error);
  EXPECT_THROW(Ledger(memory_store(), "h", {1.0, 0.0}), Error);
}

TEST(Ledger, LivesInAFileThatOneProcessHolds) {
  const auto folder = std::filesystem::temp_directory_path() / ("sutura_ledger_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto path = folder / "ledger.jsonl";
  {
    Ledger ledger(file_store(path), "h", kLoose);
    ledger.charge("r", {0, 0, 0, 0}, range(0, 3), kEvent);
    EXPECT_EQ(code_of([&] { file_store(path); }), Errc::kResources);
  }
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 3);
  {
    Ledger ledger(file_store(path), "h", kLoose);
    EXPECT_EQ(ledger.releases(0), 0u);
    EXPECT_NE(ledger.note().find("torn"), std::string::npos);
    ledger.charge("r", {0, 0, 0, 0}, range(0, 3), kEvent);
  }
  EXPECT_EQ(Ledger(file_store(path), "h", kLoose).releases(2), 1u);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace sutura
