#include "runtime/data/batches.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "tests/data/scratch.h"

namespace sutura {
namespace {

using ::testing::ElementsAre;
using testing::message_of;

TEST(EpochOrder, IsAPermutationThatDependsOnEveryArgument) {
  const auto order = epoch_order(100, 7, "north", 3);
  EXPECT_EQ(order, epoch_order(100, 7, "north", 3));
  EXPECT_NE(order, epoch_order(100, 8, "north", 3));
  EXPECT_NE(order, epoch_order(100, 7, "south", 3));
  EXPECT_NE(order, epoch_order(100, 7, "north", 4));
  auto sorted = order;
  std::sort(sorted.begin(), sorted.end());
  for (std::int64_t i = 0; i < 100; ++i) EXPECT_EQ(sorted[static_cast<std::size_t>(i)], i);
  EXPECT_TRUE(epoch_order(0, 7, "north", 0).empty());
}

TEST(EpochOrder, StaysTheSameBetweenVersions) {
  // Computed by Philox and BLAKE2b in Python: a change here breaks the restart and the reproduction of every earlier
  // run.
  EXPECT_THAT(epoch_order(8, 7, "north", 3), ElementsAre(3, 6, 1, 4, 0, 5, 7, 2));
}

/// One bright pixel of each of two channels per image; where it went tells the shift.
Tensor dots(std::int64_t n, std::int64_t height, std::int64_t width) {
  Tensor t = Tensor::zeros({n, height, width, 2});
  for (std::int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<std::size_t>(((i * height + height / 2) * width + width / 2) * 2);
    t.f32()[at] = static_cast<float>(i + 1);
    t.f32()[at + 1] = -1.0f;
  }
  return t;
}

TEST(ShiftImages, MovesEveryImageWholeAndByEveryAmount) {
  constexpr std::int64_t kSide = 9, kShift = 2, kImages = 300;
  const Tensor out = shift_images(dots(kImages, kSide, kSide), kShift, {5, "shift"});
  std::map<std::pair<std::int64_t, std::int64_t>, int> seen;
  for (std::int64_t i = 0; i < kImages; ++i) {
    int found = 0;
    for (std::int64_t y = 0; y < kSide; ++y)
      for (std::int64_t x = 0; x < kSide; ++x) {
        const auto at = static_cast<std::size_t>(((i * kSide + y) * kSide + x) * 2);
        if (out.f32()[at] == 0.0f && out.f32()[at + 1] == 0.0f) continue;
        ++found;
        EXPECT_EQ(out.f32()[at], static_cast<float>(i + 1));
        EXPECT_EQ(out.f32()[at + 1], -1.0f);
        ++seen[{y - kSide / 2, x - kSide / 2}];
      }
    EXPECT_EQ(found, 1);
  }
  EXPECT_EQ(seen.size(), 25u);  // all of [-2, 2] x [-2, 2]; each is missed with probability 5e-6
  EXPECT_EQ(seen.begin()->first, std::pair(-kShift, -kShift));
  EXPECT_EQ(seen.rbegin()->first, std::pair(kShift, kShift));
}

TEST(ShiftImages, WhatComesInIsZeroAndWhatLeavesIsLost) {
  const Tensor ones = [] {
    Tensor t({64, 3, 3, 1});
    std::fill(t.f32().begin(), t.f32().end(), 1.0f);
    return t;
  }();
  const Tensor out = shift_images(ones, 4, {6, "shift"});  // beyond the image: some are shifted out whole
  std::set<int> sums;
  for (std::int64_t i = 0; i < 64; ++i) {
    float sum = 0;
    for (const float v : out.rows(i, 1).f32()) {
      EXPECT_TRUE(v == 0.0f || v == 1.0f);
      sum += v;
    }
    sums.insert(static_cast<int>(sum));
  }
  EXPECT_TRUE(sums.contains(0));
  for (const int s : sums) EXPECT_TRUE(std::set({0, 1, 2, 3, 4, 6, 9}).contains(s)) << s;  // products of 0..3
}

TEST(ShiftImages, SignalsMoveAlongTimeOnly) {
  const Tensor out = shift_images(dots(50, 1, 9), 3, {5, "shift"});
  for (std::int64_t i = 0; i < 50; ++i) {
    const Tensor record = out.rows(i, 1);  // [1, 1, 9, 2]
    const auto values = record.f32();
    EXPECT_EQ(std::count(values.begin(), values.end(), static_cast<float>(i + 1)), 1);
  }
}

TEST(ShiftImages, IsDeterministicAndZeroShiftIsTheIdentity) {
  const Tensor in = dots(20, 5, 5);
  const auto values = [](const Tensor& t) { return std::vector(t.f32().begin(), t.f32().end()); };
  EXPECT_EQ(values(shift_images(in, 2, {5, "shift"})), values(shift_images(in, 2, {5, "shift"})));
  EXPECT_NE(values(shift_images(in, 2, {5, "shift"})), values(shift_images(in, 2, {5, "shift", 1})));
  EXPECT_EQ(values(shift_images(in, 0, {5, "shift"})), values(in));
  message_of(Errc::kInvalidArgument, [&] { shift_images(in, -1, {5, "shift"}); });
  message_of(Errc::kShapeMismatch, [] { shift_images(Tensor::zeros({2, 3}), 1, {5, "shift"}); });
}

}  // namespace
}  // namespace sutura
