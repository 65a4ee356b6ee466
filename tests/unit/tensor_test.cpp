#include "kernels/tensor.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "core/error.h"

namespace sutura {
namespace {

template <class Action>
void expect_error(Errc code, Action action) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(name(e.code()), name(code)) << e.what();
  }
}

Tensor counted(const Shape& shape) {
  Tensor t(shape);
  const auto v = t.f32();
  std::iota(v.begin(), v.end(), 0.0f);
  return t;
}

std::vector<float> values(const Tensor& t) {
  const auto v = t.f32();
  return {v.begin(), v.end()};
}

constexpr DType kAllTypes[] = {DType::kFloat32, DType::kBfloat16, DType::kInt8,   DType::kInt16,
                               DType::kInt32,   DType::kUint8,    DType::kFloat64};

TEST(Tensor, OwnedMemoryIsAlignedAndOfTheRightSize) {
  for (const DType type : kAllTypes) {
    for (const std::int64_t n : {0, 1, 3, 63, 64, 65, 1000}) {
      const Tensor t({n, 3}, type);
      ASSERT_TRUE(t.defined());
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(t.data()) % 64, 0u);
      EXPECT_EQ(t.elements(), 3 * n);
      EXPECT_EQ(t.bytes_size(), static_cast<std::size_t>(3 * n) * size_bytes(type));
      EXPECT_EQ(t.bytes().size(), t.bytes_size());
      EXPECT_EQ(t.dtype(), type);
      EXPECT_EQ(t.shape(), Shape({n, 3}));
    }
  }
}

TEST(Tensor, ZerosAreZeroBytes) {
  for (const DType type : kAllTypes) {
    {
      Tensor dirty({5, 7}, type);  // so that the allocator has something else to give back
      std::memset(dirty.data(), 0xff, dirty.bytes_size());
    }
    const Tensor t = Tensor::zeros({5, 7}, type);
    for (const std::byte b : t.bytes()) ASSERT_EQ(b, std::byte{0});
  }
}

TEST(Tensor, FromCopiesAndChecksTheCount) {
  std::vector<float> source = {1, 2, 3, 4, 5, 6};
  const Tensor t = Tensor::from({2, 3}, source);
  source[0] = 9;
  EXPECT_EQ(values(t), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  const std::vector<std::int32_t> whole = {-1, 7};
  const Tensor labels = Tensor::from({2}, whole);
  EXPECT_EQ(labels.dtype(), DType::kInt32);
  EXPECT_EQ(labels.as<std::int32_t>()[0], -1);
  EXPECT_EQ(labels.as<std::int32_t>()[1], 7);
  expect_error(Errc::kShapeMismatch, [&] { Tensor::from({2, 2}, source); });
  expect_error(Errc::kShapeMismatch, [&] { Tensor::from({7}, source); });
  expect_error(Errc::kShapeMismatch, [&] { Tensor::from({3}, whole); });
}

TEST(Tensor, BorrowedMemoryIsTheSameMemory) {
  std::array<float, 4> memory = {1, 2, 3, 4};
  {
    Tensor view = Tensor::borrow(memory.data(), {2, 2});
    EXPECT_EQ(view.data(), memory.data());
    view.f32()[3] = 40;
    Tensor second = Tensor::borrow(view);
    EXPECT_EQ(second.data(), memory.data());
    EXPECT_EQ(second.shape(), view.shape());
    second.f32()[0] = 10;
  }  // the memory is not the views' to free
  EXPECT_EQ(memory, (std::array<float, 4>{10, 2, 3, 40}));
}

TEST(Tensor, ACloneIsMemoryOfItsOwn) {
  std::array<float, 4> memory = {1, 2, 3, 4};
  const Tensor view = Tensor::borrow(memory.data(), {4});
  Tensor copy = view.clone();
  EXPECT_NE(copy.data(), view.data());
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(copy.data()) % 64, 0u);
  memory[0] = 9;
  copy.f32()[1] = 8;
  EXPECT_EQ(values(copy), (std::vector<float>{1, 8, 3, 4}));
  EXPECT_EQ(values(view), (std::vector<float>{9, 2, 3, 4}));
  Tensor bytes({3}, DType::kInt8);
  std::memset(bytes.data(), 5, 3);
  EXPECT_EQ(bytes.clone().dtype(), DType::kInt8);
  EXPECT_EQ(bytes.clone().as<std::int8_t>()[2], 5);
}

TEST(Tensor, MovingKeepsTheMemory) {
  Tensor a = counted({2, 3});
  const void* memory = a.data();
  Tensor b = std::move(a);
  EXPECT_EQ(b.data(), memory);
  Tensor c = counted({1});
  c = std::move(b);
  EXPECT_EQ(c.data(), memory);
  EXPECT_EQ(values(c), (std::vector<float>{0, 1, 2, 3, 4, 5}));
}

TEST(Tensor, ReshapedIsTheSameMemoryAndTakesIt) {
  Tensor a = counted({2, 6});
  const void* memory = a.data();
  Tensor b = std::move(a).reshaped({3, 2, 2});
  EXPECT_EQ(b.data(), memory);
  EXPECT_EQ(b.shape(), Shape({3, 2, 2}));
  EXPECT_EQ(b.f32()[11], 11.0f);
  EXPECT_FALSE(a.defined());  // NOLINT: what a moved-from tensor says is promised here
  expect_error(Errc::kShapeMismatch, [&] { std::move(b).reshaped({13}); });
  EXPECT_EQ(b.data(), memory) << "a refused view takes nothing";
  EXPECT_EQ(b.shape(), Shape({3, 2, 2}));
}

TEST(Tensor, RowsAreAView) {
  Tensor t = counted({4, 2, 2});
  Tensor middle = t.rows(1, 2);
  EXPECT_EQ(middle.shape(), Shape({2, 2, 2}));
  EXPECT_EQ(values(middle), (std::vector<float>{4, 5, 6, 7, 8, 9, 10, 11}));
  middle.f32()[0] = -1;
  EXPECT_EQ(t.f32()[4], -1.0f);
  EXPECT_EQ(values(t.rows(0, 4)), values(t));
  EXPECT_EQ(t.rows(4, 0).elements(), 0);
  EXPECT_EQ(values(counted({5}).rows(3, 2)), (std::vector<float>{3, 4}));
  Tensor bytes({3, 5}, DType::kUint8);  // the stride is in bytes
  EXPECT_EQ(bytes.rows(2, 1).bytes().data(), bytes.bytes().data() + 10);
  EXPECT_EQ(bytes.rows(2, 1).dtype(), DType::kUint8);
}

TEST(Tensor, RowsOutsideAreRefused) {
  const Tensor t = counted({4, 2});
  expect_error(Errc::kShapeMismatch, [&] { t.rows(-1, 1); });
  expect_error(Errc::kShapeMismatch, [&] { t.rows(0, -1); });
  expect_error(Errc::kShapeMismatch, [&] { t.rows(0, 5); });
  expect_error(Errc::kShapeMismatch, [&] { t.rows(3, 2); });
  expect_error(Errc::kShapeMismatch, [&] { t.rows(5, 0); });
  expect_error(Errc::kShapeMismatch, [] { counted({}).rows(0, 1); });
}

TEST(Tensor, GatheredRowsComeInTheirOrderAsACopy) {
  Tensor t = counted({4, 2});
  const std::vector<std::int64_t> index = {3, 0, 3};
  const Tensor g = gather_rows(t, index);
  t.f32()[0] = 100;
  EXPECT_EQ(g.shape(), Shape({3, 2}));
  EXPECT_EQ(values(g), (std::vector<float>{6, 7, 0, 1, 6, 7}));
  EXPECT_EQ(gather_rows(t, {}).shape(), Shape({0, 2}));

  const std::vector<std::int32_t> numbers = {5, 6, 7};
  const std::vector<std::int64_t> last = {2};
  const Tensor whole = gather_rows(Tensor::from({3}, numbers), last);
  EXPECT_EQ(whole.dtype(), DType::kInt32);
  EXPECT_EQ(whole.as<std::int32_t>()[0], 7);

  for (const std::int64_t outside : {std::int64_t{-1}, std::int64_t{4}}) {
    const std::vector<std::int64_t> wrong = {0, outside};
    expect_error(Errc::kShapeMismatch, [&] { gather_rows(t, wrong); });
  }
  const std::vector<std::int64_t> zero = {0};
  expect_error(Errc::kShapeMismatch, [&] { gather_rows(Tensor({0, 2}), zero); });
  expect_error(Errc::kShapeMismatch, [&] { gather_rows(Tensor(), zero); });
}

TEST(Tensor, ReadingAsAnotherTypeIsRefused) {
  Tensor narrow({2}, DType::kBfloat16);
  Tensor whole({2}, DType::kInt32);
  const Tensor& constant = whole;
  expect_error(Errc::kInvalidArgument, [&] { narrow.f32(); });
  expect_error(Errc::kInvalidArgument, [&] { whole.f32(); });  // of the same size
  expect_error(Errc::kInvalidArgument, [&] { constant.f32(); });
  expect_error(Errc::kInvalidArgument, [&] { narrow.as<std::int8_t>(); });
  expect_error(Errc::kInvalidArgument, [&] { whole.as<double>(); });
  expect_error(Errc::kInvalidArgument, [&] { constant.as<std::int16_t>(); });
  EXPECT_EQ(narrow.as<bf16>().size(), 2u);
  EXPECT_EQ(constant.as<std::int32_t>().size(), 2u);
}

TEST(Tensor, AnUndefinedTensorIsNotRead) {
  Tensor none;
  EXPECT_FALSE(none.defined());
  EXPECT_EQ(none.data(), nullptr);
  expect_error(Errc::kInvalidArgument, [&] { none.f32(); });
  expect_error(Errc::kInvalidArgument, [&] { std::as_const(none).as<std::int32_t>(); });
  expect_error(Errc::kShapeMismatch, [&] { none.rows(0, 0); });
  EXPECT_FALSE(none.clone().defined());
}

TEST(Tensor, NoRecordsIsDefinedAndHarmless) {
  const Tensor none({0, 3});
  EXPECT_TRUE(none.defined());
  EXPECT_TRUE(none.f32().empty());
  EXPECT_TRUE(none.bytes().empty());
  EXPECT_EQ(none.rows(0, 0).shape(), Shape({0, 3}));
  EXPECT_EQ(none.clone().shape(), Shape({0, 3}));
  EXPECT_EQ(Tensor({0, 3}).reshaped({3, 0, 7}).elements(), 0);
  EXPECT_EQ(Tensor::from({0, 3}, std::span<const float>()).elements(), 0);
  EXPECT_EQ(gather_rows(none, {}).elements(), 0);
}

}  // namespace
}  // namespace sutura
