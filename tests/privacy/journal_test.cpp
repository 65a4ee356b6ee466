#include "runtime/privacy/journal.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "store_doubles.h"

namespace sutura {
namespace {

using privacy_tests::code_of;
using privacy_tests::Disk;
using privacy_tests::store_on;

const std::vector<std::int64_t> kRecords = {4, 9};

Tensor wire_of(int value) {
  Tensor t({2, 3}, DType::kInt8);  // [2, 3]
  for (std::int8_t& v : t.as<std::int8_t>()) v = static_cast<std::int8_t>(value++);
  return t;
}
bool equal(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::ranges::equal(a.bytes(), b.bytes());
}

TEST(Journal, GivesBackTheSameBytesAfterReload) {
  Disk disk;
  Tensor wide({2, 2, 1}, DType::kInt16);  // [2, 2, 1]
  for (std::int16_t& v : wide.as<std::int16_t>()) v = 12345;
  {
    Journal journal(store_on(disk), "run");
    for (int step = 0; step < 5; ++step) journal.append({1, static_cast<std::uint64_t>(step), 2, 3}, kRecords, wire_of(step));
    journal.append({7, 0, 0, 0}, kRecords, wide);
    EXPECT_EQ(code_of([&] { journal.append({7, 0, 0, 0}, kRecords, wide); }), Errc::kInternal);
    journal.append({8, 0, 0, 0}, {}, Tensor({0, 3}, DType::kInt8));
  }
  const Journal journal(store_on(disk), "run");
  EXPECT_EQ(journal.entries(), 7u);
  for (int step = 0; step < 5; ++step)
    EXPECT_TRUE(equal(*journal.lookup({1, static_cast<std::uint64_t>(step), 2, 3}, kRecords), wire_of(step)));
  EXPECT_TRUE(equal(*journal.lookup({7, 0, 0, 0}, kRecords), wide));
  EXPECT_EQ(journal.lookup({8, 0, 0, 0}, {})->shape(), (Shape{0, 3}));
  EXPECT_FALSE(journal.lookup({1, 0, 2, 4}, kRecords).has_value());
  EXPECT_FALSE(journal.lookup({1, 0, 1, 3}, kRecords).has_value());
  EXPECT_EQ(code_of([&] { (void)journal.lookup({1, 0, 2, 3}, std::vector<std::int64_t>{4, 10}); }), Errc::kData);
  EXPECT_EQ(code_of([&] { Journal(store_on(disk), "another run"); }), Errc::kData);
}

TEST(Journal, IsCutAtEveryByteWithoutLosingAWholeEntry) {
  Disk disk;
  std::vector<std::size_t> ends;
  {
    Journal journal(store_on(disk), "run");
    ends.push_back(disk.bytes.size());
    for (std::uint64_t step = 0; step < 3; ++step) {
      journal.append({0, step, 0, 0}, kRecords, wire_of(static_cast<int>(step)));
      ends.push_back(disk.bytes.size());
    }
  }
  for (std::size_t size = 0; size <= disk.bytes.size(); ++size) {
    Disk cut{Bytes(disk.bytes.begin(), disk.bytes.begin() + static_cast<std::ptrdiff_t>(size)), -1};
    std::size_t whole = 0;
    for (std::size_t i = 1; i < ends.size(); ++i) whole += ends[i] <= size;
    {
      Journal journal(store_on(cut), "run");
      ASSERT_EQ(journal.entries(), whole) << size;
      ASSERT_EQ(journal.note().empty(), size == 0 || std::find(ends.begin(), ends.end(), size) != ends.end()) << size;
      journal.append({0, 99, 0, 0}, kRecords, wire_of(50));
    }
    const Journal after(store_on(cut), "run");
    ASSERT_EQ(after.entries(), whole + 1);
    ASSERT_EQ(after.note(), "");
    for (std::uint64_t step = 0; step < whole; ++step)
      ASSERT_TRUE(equal(*after.lookup({0, step, 0, 0}, kRecords), wire_of(static_cast<int>(step))));
  }
}

TEST(Journal, RefusesDamageInTheMiddleAndLeavesTheFileAlone) {
  Disk disk;
  std::size_t last_entry = 0;
  {
    Journal journal(store_on(disk), "run");
    for (std::uint64_t step = 0; step < 3; ++step) {
      last_entry = disk.bytes.size();
      journal.append({0, step, 0, 0}, kRecords, wire_of(static_cast<int>(step)));
    }
  }
  for (std::size_t at = 0; at < last_entry; ++at) {
    Disk changed = disk;
    changed.bytes[at] ^= std::byte{0x10};
    const Bytes before = changed.bytes;
    ASSERT_EQ(code_of([&] { Journal(store_on(changed), "run"); }), Errc::kData) << at;
    ASSERT_EQ(changed.bytes, before);
  }
  // In the last entry it looks like a torn write: the entry goes, with a note.
  for (std::size_t at = last_entry; at < disk.bytes.size(); ++at) {
    Disk changed = disk;
    changed.bytes[at] ^= std::byte{0x10};
    const Journal journal(store_on(changed), "run");
    ASSERT_EQ(journal.entries(), 2u) << at;
    ASSERT_NE(journal.note(), "");
  }
}

TEST(Journal, LivesInAFile) {
  const auto path = std::filesystem::temp_directory_path() / ("sutura_journal_" + std::to_string(::getpid()));
  {
    Journal journal(file_store(path), "run");
    for (int i = 0; i < 3; ++i) {
      journal.append({0, static_cast<std::uint64_t>(i), 0, 0}, kRecords, wire_of(i));
      EXPECT_TRUE(equal(*journal.lookup({0, static_cast<std::uint64_t>(i), 0, 0}, kRecords), wire_of(i)));
    }
    EXPECT_TRUE(equal(*journal.lookup({0, 0, 0, 0}, kRecords), wire_of(0)));
  }
  EXPECT_EQ(Journal(file_store(path), "run").entries(), 3u);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sutura
