// Released rows on every backend against the reference CPU, bit for bit. The statistics of the noise are in tests/privacy.
#include "kernels/ops/release_rows/release_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/error.h"
#include "core/random/philox.h"
#include "operation.h"

namespace sutura::testing {
namespace {

using Sign = RowSettings::Sign;
using Fit = RowSettings::Fit;

class ReleasedRows : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    ctx_ = make_context(GetParam());
    if (!ctx_) GTEST_SKIP() << "this machine has no such device";
  }
  Context& ctx() { return *ctx_; }
  Context cpu_{Backend::kReference};

 private:
  std::optional<Context> ctx_;
};
INSTANTIATE_TEST_SUITE_P(Backends, ReleasedRows, ::testing::ValuesIn(f32_variants()),
                         [](const auto& info) { return sutura::testing::text(info.param); });

Bytes bytes_of(const Tensor& t) { return {t.bytes().begin(), t.bytes().end()}; }
ChaChaKey key_of(int value) { return ChaChaKey{Bytes(32, static_cast<std::byte>(value))}; }

Tensor normal_rows(std::int64_t n, std::int64_t d, double size, std::uint64_t seed = 1) {
  Tensor t({n, d});  // [N, D]
  PhiloxStream random(seed, "rows");
  for (float& v : t.f32()) v = static_cast<float>(size * random.next_normal());
  return t;
}

/// [N, D]: rows that are hard in different ways, the 15 kinds in turn.
Tensor hard_rows(std::int64_t d, std::int64_t n = 15) {
  Tensor t({n, d});
  PhiloxStream random(static_cast<std::uint64_t>(d), "hard");
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const auto width = static_cast<std::size_t>(d);
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    const std::span<float> r = t.f32().subspan(i * width, width);
    for (std::size_t j = 0; j < width; ++j) {
      const auto normal = static_cast<float>(random.next_normal());
      switch (i % 15) {
        case 0: r[j] = 0.0f; break;
        case 1: r[j] = 1e-45f * static_cast<float>(random.next_below(4)); break;  // denormal
        case 2: r[j] = random.next_u32() & 1 ? 3e38f : -3e38f; break;             // huge
        case 3: r[j] = j == width / 2 ? -1e30f : 0.0f; break;                     // one-hot
        case 4: r[j] = 0.37f; break;                                              // equal
        case 5: r[j] = -5.0f; break;                                              // all below zero
        case 6: r[j] = normal / std::sqrt(static_cast<float>(d)); break;          // near the norm
        case 7: r[j] = 30.0f * normal; break;                                     // far beyond it
        case 8: r[j] = 1e-3f * normal; break;                                     // far inside
        case 9: r[j] = std::ldexp(random.next_float() - 0.5f, static_cast<int>(random.next_below(250)) - 125); break;
        case 10: r[j] = j + 1 == width ? nan : 0.5f; break;
        case 11: r[j] = j == 0 ? -inf : 0.5f; break;
        case 12: r[j] = 0.5f + 1e-3f * static_cast<float>(j % 2); break;  // half steps
        case 13: r[j] = j % 2 ? -0.0f : 1e-20f; break;
        default: r[j] = std::round(4.0f * normal) / 8.0f; break;  // ties of the rounding
      }
    }
  }
  return t;
}

std::vector<RowSettings> settings_list(std::span<const std::int32_t> bounds) {
  std::vector<RowSettings> all;
  for (const std::int32_t bound : bounds)
    for (const Sign sign : {Sign::kSigned, Sign::kNonnegative})
      for (const Fit fit : {Fit::kClip, Fit::kScaleToNorm}) {
        RowSettings s;
        s.clip_norm = 0.8;
        s.bound = bound;
        s.sign = sign;
        s.fit = fit;
        s.wire = DType::kInt16;
        s.shift = 0;
        all.push_back(s);
      }
  return all;
}

void expect_same_integers(Context& cpu, Context& ctx, const RowSettings& s, const Tensor& rows, std::int64_t* nonzero = nullptr) {
  Tensor want(rows.shape(), DType::kInt32);
  quantise_rows(cpu, s, rows, want);
  Guarded q(ctx, rows.shape(), DType::kInt32);
  quantise_rows(ctx, s, ctx.clone(rows), q.tensor());
  EXPECT_TRUE(q.intact());
  EXPECT_EQ(bytes_of(q.values()), bytes_of(want))
      << rows.shape().text() << " B " << s.bound << " sign " << static_cast<int>(s.sign) << " fit " << static_cast<int>(s.fit);
  if (nonzero != nullptr) *nonzero += std::ranges::count_if(want.as<std::int32_t>(), [](std::int32_t v) { return v != 0; });
}

TEST_P(ReleasedRows, QuantiseToTheReferencesIntegers) {
  std::int64_t nonzero = 0;
  for (const std::int64_t d : {1, 2, 3, 63, 64, 65, 100, 1000, 2048})
    for (const RowSettings& s : settings_list(std::vector<std::int32_t>{1, 2, 7, 213, 4096, 1 << 20}))
      expect_same_integers(cpu_, ctx(), s, hard_rows(d), &nonzero);
  EXPECT_GT(nonzero, 100000);
}

TEST_P(ReleasedRows, LongRowsQuantiseToTheReferencesIntegers) {
  std::int64_t nonzero = 0;
  for (const std::int64_t d : {2049, 2112, 5003})
    for (const RowSettings& s : settings_list(std::vector<std::int32_t>{7, 213, 1 << 20}))
      expect_same_integers(cpu_, ctx(), s, hard_rows(d), &nonzero);
  const RowSettings s = settings_list(std::vector<std::int32_t>{4096}).front();
  expect_same_integers(cpu_, ctx(), s, normal_rows(1, 65536 + 7, 0.01), &nonzero);
  expect_same_integers(cpu_, ctx(), s, normal_rows(1, std::int64_t{1} << 22, 0.001), &nonzero);
  EXPECT_GT(nonzero, 100000);
}

TEST_P(ReleasedRows, QuantiseTheSameAtClipNormsOfAnySize) {
  for (const double norm : {1e-310, 1e-300, 1e-30, 1e-3, 1e9, 1e300})
    for (RowSettings s : settings_list(std::vector<std::int32_t>{7})) {
      s.clip_norm = norm;
      for (const std::int64_t d : {1, 70}) expect_same_integers(cpu_, ctx(), s, hard_rows(d));
    }
}

TEST_P(ReleasedRows, ReleaseTheReferencesBytes) {
  PhiloxStream random(9, "releases");
  const std::uint64_t last = std::uint64_t{1} << 35;
  for (const std::int64_t d : {1, 5, 8, 16, 100, 777})
    for (const DType wire : {DType::kInt8, DType::kInt16})
      for (const std::uint64_t first : {std::uint64_t{0}, std::uint64_t{8} << 30, std::uint64_t{77}, last}) {
        const std::int64_t n = d > 100 ? 3 : 19;
        RowSettings s = settings_list(std::vector<std::int32_t>{213})[random.next_below(4)];
        s.wire = wire;
        s.shift = static_cast<int>(random.next_below(9));
        const NoiseNonce nonce{std::uint64_t{random.next_u32()} << 20, random.next_u32() >> 1};
        const auto elements = static_cast<std::uint64_t>(n * d);
        const std::uint64_t element = first == last ? last - elements : first;
        const Tensor rows = normal_rows(n, d, 2.0 / std::sqrt(static_cast<double>(d)), elements);
        Tensor want(rows.shape(), wire);
        release_rows(cpu_, s, key_of(3), nonce, element, rows, want);
        Guarded got(ctx(), rows.shape(), wire);
        const Tensor here = ctx().clone(rows);
        release_rows(ctx(), s, key_of(3), nonce, element, here, got.tensor());
        EXPECT_TRUE(got.intact());
        ASSERT_EQ(bytes_of(got.values()), bytes_of(want)) << d << " from " << element << " shift " << s.shift;
        Tensor leaving = ctx().pinned(rows.shape(), wire);
        release_rows(ctx(), s, key_of(3), nonce, element, here, leaving);
        ctx().synchronise();
        EXPECT_EQ(bytes_of(leaving), bytes_of(want));
        release_rows(ctx(), s, key_of(4), nonce, element, here, leaving);
        ctx().synchronise();
        EXPECT_NE(bytes_of(leaving), bytes_of(want)) << "another key, other noise";
        // The same rows in two calls, the second into memory that is aligned for nothing.
        Tensor apart = ctx().tensor(rows.shape(), wire), rest = apart.rows(1, n - 1), one = apart.rows(0, 1);
        release_rows(ctx(), s, key_of(3), nonce, element, here.rows(0, 1), one);
        release_rows(ctx(), s, key_of(3), nonce, element + static_cast<std::uint64_t>(d), here.rows(1, n - 1), rest);
        EXPECT_EQ(bytes_of(ctx().host(std::move(apart))), bytes_of(want));
      }
}

// Rows that are dropped, stretched and not finite on both sides of every edge: of a team, of a block's rows, of a block's slice, of
// a keystream block.
TEST_P(ReleasedRows, ReleaseTheReferencesBytesAtTheEdgesOfBlocks) {
  struct Case {
    std::int64_t d;
    std::int64_t rows;  // on the executor's four multiprocessors
  };
  std::size_t turn = 0;
  for (const Case c : {Case{1, 331},
                       {7, 331},
                       {8, 300},
                       {9, 331},
                       {63, 150},
                       {64, 150},
                       {65, 150},   // several rows a warp
                       {2048, 35},  // two rows a block
                       {2049, 17},  // two rows a block, in turn
                       {5000, 1},   // two blocks a row
                       {9001, 2},
                       {12289, 1}})  // two and four blocks a row
    for (int skip = 0; skip < 8; ++skip)
      for (const DType wire : {DType::kInt8, DType::kInt16}) {
        const std::vector<RowSettings> all = settings_list(std::vector<std::int32_t>{213, 7});
        RowSettings s = all[turn++ % all.size()];
        s.wire = wire;
        s.shift = skip / 2;
        if (skip == 3) s.clip_norm = 1e-310;  // the factor is infinite: only the check of the integers' norm drops these rows
        const Tensor more = hard_rows(c.d, c.rows + 13), rows = more.rows(static_cast<std::int64_t>(turn % 13), c.rows);
        const auto first = static_cast<std::uint64_t>(80 + skip);
        Tensor want(rows.shape(), wire);
        release_rows(cpu_, s, key_of(5), {8, 9}, first, rows, want);
        Guarded got(ctx(), rows.shape(), wire);
        release_rows(ctx(), s, key_of(5), {8, 9}, first, ctx().clone(rows), got.tensor());
        EXPECT_TRUE(got.intact());
        EXPECT_EQ(bytes_of(got.values()), bytes_of(want)) << rows.shape().text() << " from " << first;
      }
}

TEST_P(ReleasedRows, LongRowsReleaseTheReferencesBytes) {
  RowSettings s = settings_list(std::vector<std::int32_t>{213}).front();
  s.wire = DType::kInt8;
  s.shift = 5;
  const Tensor rows = normal_rows(3, 7001, 0.02);
  Tensor want(rows.shape(), s.wire);
  release_rows(cpu_, s, key_of(1), {5, 6}, 3, rows, want);
  Guarded got(ctx(), rows.shape(), s.wire);
  release_rows(ctx(), s, key_of(1), {5, 6}, 3, ctx().clone(rows), got.tensor());
  EXPECT_TRUE(got.intact());
  EXPECT_EQ(bytes_of(got.values()), bytes_of(want));
}

TEST_P(ReleasedRows, LeaveNoIntegersInTheWorkspace) {
  if (!ctx().on_device()) GTEST_SKIP() << "the CPU's workspaces are its own";
  const Tensor rows = ctx().clone(normal_rows(8, 128, 1.0));
  const RowSettings s = settings_list(std::vector<std::int32_t>{213}).front();
  Tensor wire = ctx().tensor(rows.shape(), s.wire);
  const void* before = nullptr;
  {
    Tensor block = ctx().tensor(rows.shape(), DType::kInt32);
    quantise_rows(ctx(), s, rows, block);
    before = block.data();
  }
  release_rows(ctx(), s, key_of(1), {}, 0, rows, wire);
  Tensor block = ctx().tensor(rows.shape(), DType::kInt32);
  ASSERT_EQ(block.data(), before) << "the block that the release used as well";
  const Tensor left = ctx().host(Tensor::borrow(block));
  EXPECT_TRUE(std::ranges::all_of(left.as<std::int32_t>(), [](std::int32_t v) { return v == 0; }));
}

TEST_P(ReleasedRows, DequantiseToTheReferencesValues) {
  PhiloxStream random(4, "wire");
  for (const std::int64_t d : {1, 7, 64, 3001})
    for (const DType type : {DType::kInt8, DType::kInt16}) {
      RowSettings s = settings_list(std::vector<std::int32_t>{213}).front();
      s.wire = type;
      s.shift = 3;
      Tensor wire({3, d}, type), want({3, d});
      for (std::byte& b : wire.bytes()) b = static_cast<std::byte>(random.next_u32());
      dequantise_rows(cpu_, s, wire, want);
      const Tensor here = ctx().clone(wire);
      Guarded got(ctx(), wire.shape());
      dequantise_rows(ctx(), s, here, got.tensor());
      EXPECT_TRUE(got.intact());
      EXPECT_EQ(bytes_of(got.values()), bytes_of(want));
      Tensor two = got.tensor().rows(1, 2);  // aligned for nothing
      ctx().fill_zero(two);
      dequantise_rows(ctx(), s, here.rows(1, 2), two);
      EXPECT_EQ(bytes_of(got.values()), bytes_of(want));
      if (!ctx().on_device()) continue;
      Guarded half(ctx(), wire.shape(), DType::kBfloat16);
      dequantise_rows(ctx(), s, here, half.tensor());
      EXPECT_TRUE(half.intact());
      const Tensor rounded = half.values();
      for (std::size_t i = 0; i < want.f32().size(); ++i) ASSERT_EQ(rounded.as<bf16>()[i].bits, to_bf16(want.f32()[i]).bits);
    }
}

/// Bits, with one pattern for every NaN: which one comes out of an operation is the machine's choice.
std::vector<std::uint32_t> float_bits(const Tensor& t) {
  std::vector<std::uint32_t> all;
  for (const float v : t.f32()) all.push_back(std::isnan(v) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(v));
  return all;
}

TEST_P(ReleasedRows, ClipBackwardGivesTheReferencesBits) {
  for (const std::int64_t d : {1, 65, 300, 2100})
    for (const RowSettings& s : settings_list(std::vector<std::int32_t>{213})) {
      const Tensor rows = hard_rows(d);
      Tensor grad = normal_rows(rows.shape()[0], d, 1.0, 5), want(rows.shape());
      grad.f32()[0] = std::numeric_limits<float>::quiet_NaN();
      grad.f32()[grad.f32().size() - 1] = std::numeric_limits<float>::infinity();
      clip_backward(cpu_, s, rows, grad, want);
      const Tensor here = ctx().clone(rows);
      Guarded got(ctx(), rows.shape());
      clip_backward(ctx(), s, here, ctx().clone(grad), got.tensor());
      EXPECT_TRUE(got.intact());
      EXPECT_EQ(float_bits(got.values()), float_bits(want)) << d;
      got.set(grad);
      clip_backward(ctx(), s, here, Tensor::borrow(got.tensor()), got.tensor());  // in place
      EXPECT_EQ(float_bits(got.values()), float_bits(want)) << d;
    }
}

TEST_P(ReleasedRows, RefuseMemoryOfAnotherPlaceAndBadArguments) {
  const RowSettings s = settings_list(std::vector<std::int32_t>{213}).front();
  Tensor rows = ctx().zeros({2, 3}), q = ctx().tensor({2, 3}, DType::kInt32), wire = ctx().tensor({2, 3}, DType::kInt16);
  Tensor narrow = ctx().tensor({2, 3}, DType::kInt8), other = ctx().pinned({3, 2}, DType::kInt16);
  Tensor bytes = ctx().pinned({2, 3}, DType::kInt8);
  EXPECT_NO_THROW(release_rows(ctx(), s, key_of(1), {}, 0, rows, wire));
  EXPECT_THROW(release_rows(ctx(), s, key_of(1), {}, 0, rows, narrow), Error);
  EXPECT_THROW(release_rows(ctx(), s, key_of(1), {}, 0, rows, other), Error);
  EXPECT_THROW(release_rows(ctx(), s, key_of(1), {}, 0, rows, bytes), Error);
  EXPECT_THROW(release_rows(ctx(), s, key_of(1), {0, 0x80000000u}, 0, rows, wire), Error);
  EXPECT_THROW(release_rows(ctx(), s, key_of(1), {}, (std::uint64_t{1} << 35) - 5, rows, wire), Error);
  EXPECT_THROW(dequantise_rows(ctx(), s, narrow, rows), Error);
  EXPECT_THROW(clip_backward(ctx(), s, rows, rows, q), Error);
  Tensor none = ctx().tensor({0, 3}), nothing = ctx().tensor({0, 3}, DType::kInt16), no_q = ctx().tensor({0, 3}, DType::kInt32);
  EXPECT_NO_THROW(release_rows(ctx(), s, key_of(1), {}, 0, none, nothing));
  EXPECT_NO_THROW(quantise_rows(ctx(), s, none, no_q));
  EXPECT_NO_THROW(dequantise_rows(ctx(), s, nothing, none));
  if (!ctx().on_device()) return;
  Tensor on_host = Tensor::zeros({2, 3}), host_q({2, 3}, DType::kInt32), host_wire = Tensor::zeros({2, 3}, DType::kInt16);
  EXPECT_THROW(quantise_rows(ctx(), s, on_host, q), Error);
  EXPECT_THROW(quantise_rows(ctx(), s, rows, host_q), Error);
  EXPECT_THROW(release_rows(ctx(), s, key_of(1), {}, 0, on_host, wire), Error);
  EXPECT_THROW(dequantise_rows(ctx(), s, host_wire, rows), Error);
  EXPECT_THROW(quantise_rows(cpu_, s, rows, host_q), Error);
}

}  // namespace
}  // namespace sutura::testing
