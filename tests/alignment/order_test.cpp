#include "runtime/alignment/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "core/error.h"

namespace sutura {
namespace {

std::string refusal_of(const std::vector<std::string>& ids) {
  try {
    require_distinct(ids);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kData);
    return e.what();
  }
  return {};
}

TEST(Identifiers, DuplicatesAreNamedByRecordOnly) {
  EXPECT_EQ(refusal_of({"x9", "a", "x9 ", "X9"}), "");
  EXPECT_EQ(refusal_of({"b", "secret-7", "a", "secret-7"}),
            "records 2 and 4 have the same identifier: each record needs its own");
  EXPECT_EQ(refusal_of({"b", ""}), "record 2 has an empty identifier");
  EXPECT_EQ(refusal_of({}), "there is no record to align");
}

ChaChaKey key_of_byte(int b) { return ChaChaKey(Bytes(32, std::byte(b))); }

TEST(KeyedPermutation, IsUniformAndAFunctionOfTheKey) {
  const auto a = keyed_permutation(5000, key_of_byte(1));
  EXPECT_EQ(a, keyed_permutation(5000, key_of_byte(1)));
  EXPECT_NE(a, keyed_permutation(5000, key_of_byte(2)));
  auto sorted = a;
  std::ranges::sort(sorted);
  EXPECT_FALSE(std::ranges::equal(a, sorted));
  for (std::int64_t i = 0; i < 5000; ++i) EXPECT_EQ(sorted[static_cast<std::size_t>(i)], i);
  EXPECT_TRUE(keyed_permutation(0, key_of_byte(1)).empty());
  EXPECT_THROW((void)keyed_permutation(-1, key_of_byte(1)), Error);
  // All 24 orders of four, 24,000 keys: chi-square with 23 degrees of freedom, 99.99 % below 58.
  std::map<std::vector<std::int64_t>, int> seen;
  for (int i = 0; i < 24000; ++i) {
    Bytes bytes(32);
    store_le(bytes, 0, i);
    ++seen[keyed_permutation(4, ChaChaKey(bytes))];
  }
  ASSERT_EQ(seen.size(), 24u);
  double chi = 0.0;
  for (const auto& [order, count] : seen) chi += (count - 1000.0) * (count - 1000.0) / 1000.0;
  EXPECT_LT(chi, 58.0);
}

TEST(CommonOrder, IsTheSameAtEveryPartyWhateverTheFileOrder) {
  const std::vector<std::string> here{"d", "only here", "a", "c", "\xc3\xa9", "b"}, there{"a", "b", "c", "d", "zz", "\xc3\xa9"};
  const std::vector<std::int64_t> common_here{0, 2, 3, 4, 5}, common_there{5, 3, 2, 1, 0};
  const CommonOrder h = order_common(here, common_here, 7), t = order_common(there, common_there, 7);
  ASSERT_EQ(h.rows_by_position.size(), 5u);
  for (std::size_t p = 0; p < 5; ++p)
    EXPECT_EQ(here[static_cast<std::size_t>(h.rows_by_position[p])], there[static_cast<std::size_t>(t.rows_by_position[p])]);
  EXPECT_EQ(h.check, t.check);
  EXPECT_NE(order_common(here, common_here, 8).check, h.check);
  EXPECT_NE(order_common(here, std::vector<std::int64_t>{0, 2, 3, 4}, 7).check, h.check);
  EXPECT_THROW((void)order_common(here, std::vector<std::int64_t>{6}, 7), Error);
}

// Without the lengths these two sets of identifiers would be one text, and their orders could be told from each other's.
TEST(CommonOrder, DependsOnSeedAndWholeSet) {
  std::vector<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.push_back("p" + std::to_string(i));
  std::vector<std::int64_t> all(100);
  std::iota(all.begin(), all.end(), std::int64_t{0});
  const auto order = order_common(ids, all, 1).rows_by_position;
  EXPECT_EQ(order, order_common(ids, all, 1).rows_by_position);
  EXPECT_NE(order, order_common(ids, all, 2).rows_by_position);
  ids[50] = "another";
  EXPECT_NE(order, order_common(ids, all, 1).rows_by_position);
  const std::vector<std::int64_t> two{0, 1};
  EXPECT_NE(order_common({"ab", "c"}, two, 1).check, order_common({"a", "bc"}, two, 1).check);
}

}  // namespace
}  // namespace sutura
