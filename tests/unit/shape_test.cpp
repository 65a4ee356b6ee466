#include "core/shape.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

#include "core/error.h"

namespace sutura {
namespace {

constexpr std::int64_t kLimit = std::int64_t{1} << 40;
constexpr std::int64_t kGreatest = std::numeric_limits<std::int64_t>::max();

template <class Action>
void expect_error(Errc code, Action action) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(name(e.code()), name(code)) << e.what();
  }
}

TEST(Shape, CountsItsElements) {
  const Shape s{32, 28, 28, 3};
  EXPECT_EQ(s.rank(), 4);
  EXPECT_EQ(s.elements(), 75264);
  EXPECT_EQ(s.row_elements(), 2352);
  EXPECT_EQ(s[0], 32);
  EXPECT_EQ(s[3], 3);
  EXPECT_EQ(std::vector<std::int64_t>(s.dims().begin(), s.dims().end()), (std::vector<std::int64_t>{32, 28, 28, 3}));
  EXPECT_EQ(s.text(), "[32, 28, 28, 3]");
}

TEST(Shape, RankZeroIsOneElement) {
  const Shape s;
  EXPECT_EQ(s.rank(), 0);
  EXPECT_EQ(s.elements(), 1);
  EXPECT_EQ(s.row_elements(), 1);
  EXPECT_TRUE(s.dims().empty());
  EXPECT_EQ(s.text(), "[]");
  expect_error(Errc::kShapeMismatch, [&] { s.with_batch(1); });
}

TEST(Shape, EqualityComparesRankAndSizes) {
  EXPECT_EQ(Shape({2, 3}), Shape({2, 3}));
  EXPECT_NE(Shape({2, 3}), Shape({3, 2}));
  EXPECT_NE(Shape({2}), Shape({2, 1}));
  EXPECT_NE(Shape({}), Shape({0})) << "the unused places are 0 as well";
  EXPECT_EQ(Shape({9, 3}).with_batch(2), Shape({2, 3}));
}

TEST(Shape, SixDimensionsAreTheMost) {
  EXPECT_EQ(Shape({1, 2, 3, 4, 5, 6}).elements(), 720);
  expect_error(Errc::kInvalidArgument, [] { Shape({1, 1, 1, 1, 1, 1, 1}); });
  const std::vector<std::int64_t> seven(7, 1);
  expect_error(Errc::kInvalidArgument, [&] { Shape{std::span<const std::int64_t>(seven)}; });
}

TEST(Shape, NegativeDimensionsAreRefused) {
  expect_error(Errc::kInvalidArgument, [] { Shape({-1}); });
  expect_error(Errc::kInvalidArgument, [] { Shape({2, -3, 4}); });
  expect_error(Errc::kInvalidArgument, [] { Shape({-2, -3}); });  // the product is positive
  expect_error(Errc::kInvalidArgument, [] { Shape({0, std::numeric_limits<std::int64_t>::min()}); });
  expect_error(Errc::kInvalidArgument, [] { Shape({4, 2}).with_batch(-1); });
}

TEST(Shape, TheProductIsBoundedAlsoWhereItWouldWrapAround) {
  EXPECT_EQ(Shape({kLimit}).elements(), kLimit);
  EXPECT_EQ(Shape({1 << 20, 1 << 20}).elements(), kLimit);
  expect_error(Errc::kInvalidArgument, [] { Shape({kLimit + 1}); });
  expect_error(Errc::kInvalidArgument, [] { Shape({1 << 20, 1 << 20, 2}); });
  expect_error(Errc::kInvalidArgument, [] { Shape({kGreatest, kGreatest}); });
  // 2^32 * 2^32 is 0 and 2^33 * (2^31 + 1) is 2^33 in 64 bits.
  expect_error(Errc::kInvalidArgument, [] { Shape({std::int64_t{1} << 32, std::int64_t{1} << 32}); });
  expect_error(Errc::kInvalidArgument, [] { Shape({1 << 20, 1 << 13, (std::int64_t{1} << 31) + 1}); });
}

TEST(Shape, WithBatchIsAsStrictAsTheConstructor) {
  const Shape row{1, 1 << 20};
  EXPECT_EQ(row.with_batch(1 << 20).elements(), kLimit);
  EXPECT_EQ(row.with_batch(0).elements(), 0);
  expect_error(Errc::kInvalidArgument, [&] { row.with_batch((1 << 20) + 1); });
  expect_error(Errc::kInvalidArgument, [&] { row.with_batch(kGreatest); });
}

TEST(Shape, RowsOfNoRecordsMayBeTooLarge) {
  const Shape empty{0, 28, 28};
  EXPECT_EQ(empty.elements(), 0);
  EXPECT_EQ(empty.row_elements(), 784);
  // No elements, so the constructor has nothing against it; a row of it would not fit into 64 bits.
  const Shape hostile{0, kGreatest, kGreatest};
  EXPECT_EQ(hostile.elements(), 0);
  expect_error(Errc::kInvalidArgument, [&] { hostile.row_elements(); });
  expect_error(Errc::kInvalidArgument, [&] { hostile.with_batch(1); });
}

}  // namespace
}  // namespace sutura
