#include "kernels/ops/release_rows/release_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "core/error.h"
#include "core/random/philox.h"

namespace sutura {
namespace {

using Sign = RowSettings::Sign;
using Fit = RowSettings::Fit;

std::vector<Isa> isas() {
  std::vector<Isa> all = {Isa::kBaseline};
  if (widest_isa() >= Isa::kAvx2) all.push_back(Isa::kAvx2);
  if (widest_isa() >= Isa::kAvx512) all.push_back(Isa::kAvx512);
  return all;
}

ChaChaKey test_key(int value = 3) { return ChaChaKey{Bytes(32, static_cast<std::byte>(value))}; }

RowSettings settings_of(std::int32_t bound, DType wire = DType::kInt16) {
  RowSettings s;
  s.clip_norm = 1.0;
  s.bound = bound;
  s.wire = wire;
  s.shift = wire == DType::kInt8 ? 4 : 0;
  return s;
}

Tensor normal_rows(std::int64_t n, std::int64_t d, double scale, std::uint64_t seed = 1) {
  Tensor t({n, d});  // [N, D]
  PhiloxStream stream(seed, "rows");
  for (float& v : t.f32()) v = static_cast<float>(scale * stream.next_normal());
  return t;
}

std::vector<std::int32_t> quantised(Context& ctx, const RowSettings& s, const Tensor& rows, Isa isa = widest_isa()) {
  Tensor q(rows.shape(), DType::kInt32);
  quantise_rows(ctx, s, rows, q, isa);
  const auto v = q.as<std::int32_t>();
  return {v.begin(), v.end()};
}

std::vector<std::int32_t> released(Context& ctx, const RowSettings& s, const Tensor& rows, NoiseNonce nonce = {},
                                   std::uint64_t first = 0, Isa isa = widest_isa()) {
  Tensor wire(rows.shape(), s.wire);
  release_rows(ctx, s, test_key(), nonce, first, rows, wire, isa);
  std::vector<std::int32_t> out;
  if (s.wire == DType::kInt8) {
    for (const std::int8_t v : wire.as<std::int8_t>()) out.push_back(v);
  } else {
    for (const std::int16_t v : wire.as<std::int16_t>()) out.push_back(v);
  }
  return out;
}

std::uint64_t squared_norm(std::span<const std::int32_t> q) {
  std::uint64_t sum = 0;
  for (const std::int32_t v : q) sum += static_cast<std::uint64_t>(std::int64_t{v} * v);
  return sum;
}

TEST(QuantiseRows, NeverExceedsTheBound) {
  Context ctx(Backend::kReference);
  PhiloxStream random(5, "fuzz");
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::pair<const char*, std::function<void(std::span<float>)>>> fillings = {
      {"zero", [](auto r) { std::fill(r.begin(), r.end(), 0.0f); }},
      {"denormal",
       [&](auto r) {
         for (float& v : r) v = 1e-45f * static_cast<float>(random.next_below(4));
       }},
      {"huge",
       [&](auto r) {
         for (float& v : r) v = random.next_u32() & 1 ? 1e38f : -1e38f;
       }},
      {"largest", [](auto r) { std::fill(r.begin(), r.end(), std::numeric_limits<float>::max()); }},
      {"one-hot",
       [](auto r) {
         std::fill(r.begin(), r.end(), 0.0f);
         r[r.size() / 2] = -1e30f;
       }},
      {"all-equal", [](auto r) { std::fill(r.begin(), r.end(), 0.37f); }},
      {"all-minus", [](auto r) { std::fill(r.begin(), r.end(), -5.0f); }},
      {"normal",
       [&](auto r) {
         for (float& v : r) v = static_cast<float>(random.next_normal());
       }},
      {"mixed",
       [&](auto r) {
         for (float& v : r) v = std::ldexp(random.next_float() - 0.5f, static_cast<int>(random.next_below(250)) - 125);
       }},
      {"one nan",
       [&](auto r) {
         std::fill(r.begin(), r.end(), 0.5f);
         r[r.size() - 1] = nan;
       }},
      {"one inf",
       [&](auto r) {
         std::fill(r.begin(), r.end(), 0.5f);
         r[0] = -inf;
       }},
      {"half-steps",
       [&](auto r) {
         for (std::size_t j = 0; j < r.size(); ++j) r[j] = 0.5f + 1e-3f * static_cast<float>(j % 2);
       }},
  };
  int nonzero = 0;
  for (const std::int64_t d : {1, 2, 3, 63, 64, 65, 100, 1000, 65536}) {
    for (const auto& [label, fill] : fillings) {
      Tensor row({1, d});  // [1, D]
      fill(row.f32());
      for (const std::int32_t bound : {1, 2, 7, 32, 129, 213, 4096, 1 << 20}) {
        for (const Sign sign : {Sign::kSigned, Sign::kNonnegative}) {
          for (const Fit fit : {Fit::kClip, Fit::kScaleToNorm}) {
            RowSettings s = settings_of(bound);
            s.sign = sign;
            s.fit = fit;
            s.clip_norm = 0.8;
            const auto q = quantised(ctx, s, row);
            const std::uint64_t norm = squared_norm(q);
            ASSERT_LE(norm, static_cast<std::uint64_t>(bound) * static_cast<std::uint64_t>(bound))
                << label << " d " << d << " B " << bound;
            nonzero += norm > 0;
            if (sign == Sign::kNonnegative) {
              for (const std::int32_t v : q) ASSERT_GE(v, 0);
            }
            if (std::string_view(label).starts_with("one n") || std::string_view(label) == "one inf") {
              ASSERT_EQ(norm, 0u) << label;
            }
          }
        }
      }
    }
  }
  EXPECT_GT(nonzero, 1200);  // the bound is not kept by zeroing everything
}

TEST(QuantiseRows, KeepsWhatFitsAndFillsTheBound) {
  Context ctx(Backend::kReference);
  // A row inside the norm keeps its values to half a step (and the stated shrink); a long one ends near B.
  const RowSettings s = settings_of(4096);
  const Tensor small = normal_rows(20, 64, 0.05);
  const auto q = quantised(ctx, s, small);
  const double shrink = 1 / std::sqrt(1 + 64 / (12.0 * 4096 * 4096));
  for (std::size_t i = 0; i < q.size(); ++i) EXPECT_NEAR(q[i], small.f32()[i] * shrink * 4096, 0.5 + 1e-9);
  for (const std::int64_t d : {16, 64, 256, 1024}) {
    const std::int32_t bound = std::max<std::int32_t>(32, static_cast<std::int32_t>(2 * std::sqrt(d)));
    const Tensor rows = normal_rows(200, d, 3.0, 7);
    const auto long_rows = quantised(ctx, settings_of(bound), rows);
    int truncated = 0;  // four repeats are not always enough at small B; then the row loses up to half a step per value
    for (std::int64_t i = 0; i < 200; ++i) {
      const auto norm = squared_norm(std::span(long_rows).subspan(static_cast<std::size_t>(i * d), static_cast<std::size_t>(d)));
      EXPECT_GT(std::sqrt(static_cast<double>(norm)), 0.7 * bound) << d;
      truncated += std::sqrt(static_cast<double>(norm)) < 0.96 * bound;
    }
    EXPECT_LT(truncated, 20) << d;
  }
  RowSettings stretch = settings_of(213);
  stretch.fit = Fit::kScaleToNorm;
  Tensor tiny({1, 8});  // [1, 8]
  for (float& v : tiny.f32()) v = 1e-12f;
  EXPECT_GT(squared_norm(quantised(ctx, stretch, tiny)), 200u * 200u);
  EXPECT_EQ(squared_norm(quantised(ctx, settings_of(213), tiny)), 0u);
}

TEST(ReleaseRows, DependsOnNeitherBatchMatesNorThreadsNorInstructionSet) {
  Context one(Backend::kReference), three(Backend::kOnednn, 3);
  for (const std::int64_t d : {1, 5, 16, 100, 2049, 5000}) {
    const std::int64_t n = d > 2000 ? 3 : 41;
    const Tensor rows = normal_rows(n, d, 2.0 / std::sqrt(static_cast<double>(d)), static_cast<std::uint64_t>(d));
    for (const DType wire : {DType::kInt8, DType::kInt16}) {
      const RowSettings s = settings_of(213, wire);
      const auto whole = released(one, s, rows, {12, 3}, 77);
      EXPECT_EQ(released(three, s, rows, {12, 3}, 77), whole);
      for (const Isa isa : isas()) EXPECT_EQ(released(one, s, rows, {12, 3}, 77, isa), whole) << name(isa) << " " << d;
      std::vector<std::int32_t> apart;
      for (std::int64_t i = 0; i < n; ++i) {
        const auto part = released(one, s, rows.rows(i, 1), {12, 3}, 77 + static_cast<std::uint64_t>(i * d));
        apart.insert(apart.end(), part.begin(), part.end());
      }
      EXPECT_EQ(apart, whole) << d;
    }
    const auto q = quantised(one, settings_of(213), rows);
    EXPECT_EQ(quantised(three, settings_of(213), rows), q);
    for (const Isa isa : isas()) EXPECT_EQ(quantised(one, settings_of(213), rows, isa), q) << name(isa);
  }
}

TEST(ReleaseRows, AddsTheNoiseOfItsOwnElements) {
  Context ctx(Backend::kReference);
  const RowSettings s = settings_of(213);
  const Tensor rows = normal_rows(9, 37, 0.2);
  const auto q = quantised(ctx, s, rows);
  const auto y = released(ctx, s, rows, {5, 6}, 1001);
  // The noise again, straight from the keystream words.
  std::vector<std::uint64_t> words((1001 + q.size() + 7) / 8 * 8);
  chacha20_keystream(test_key(), {6, 5, 0}, 0, std::as_writable_bytes(std::span(words)));
  std::vector<std::int32_t> z(words.size());
  rounded_gaussian(Isa::kBaseline, words, z);
  for (std::size_t i = 0; i < q.size(); ++i) ASSERT_EQ(y[i], q[i] + z[1001 + i]) << i;
  // Another step, kind or key gives other noise.
  EXPECT_NE(released(ctx, s, rows, {6, 6}, 1001), y);
  EXPECT_NE(released(ctx, s, rows, {5, 7}, 1001), y);
  EXPECT_NE(released(ctx, s, rows, {5 | std::uint64_t{1} << 40, 6}, 1001), y);
  EXPECT_NE(released(ctx, s, rows, {5, 6}, 1002), y);
}

TEST(ReleaseRows, RoundsShiftsAndSaturatesTheWire) {
  Context ctx(Backend::kReference);
  const Tensor rows = normal_rows(400, 64, 1.0);
  RowSettings wide = settings_of(512), narrow = settings_of(512, DType::kInt8);
  const auto y = released(ctx, wide, rows), x = released(ctx, narrow, rows);
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(x[i], std::clamp((y[i] + 8) >> 4, -128, 127));
  narrow.shift = 0;  // everything beyond half a deviation saturates
  int top = 0, bottom = 0;
  for (const std::int32_t v : released(ctx, narrow, rows)) {
    top += v == 127;
    bottom += v == -128;
  }
  EXPECT_GT(top, 5000);
  EXPECT_GT(bottom, 5000);

  Tensor wire({1, 4}, DType::kInt8);
  const std::int8_t values[] = {-128, 0, 1, 127};
  std::copy(std::begin(values), std::end(values), wire.as<std::int8_t>().begin());
  RowSettings s = settings_of(256, DType::kInt8);
  s.clip_norm = 2.0;
  Tensor back({1, 4});
  dequantise_rows(ctx, s, wire, back);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_FLOAT_EQ(back.f32()[i], static_cast<float>(values[i]) * 16.0f * 2.0f / 256.0f);
}

TEST(ReleaseRows, RefusesBadArguments) {
  Context ctx(Backend::kReference);
  const Tensor rows = normal_rows(2, 3, 1.0);
  Tensor wire({2, 3}, DType::kInt16), other({3, 2}, DType::kInt16), floats({2, 3});
  const ChaChaKey key = test_key();
  RowSettings s = settings_of(10);
  EXPECT_NO_THROW(release_rows(ctx, s, key, {}, 0, rows, wire));
  EXPECT_THROW(release_rows(ctx, s, key, {}, 0, rows, other), Error);
  EXPECT_THROW(release_rows(ctx, s, key, {}, 0, rows, floats), Error);
  EXPECT_THROW(release_rows(ctx, s, key, {0, 0x80000000u}, 0, rows, wire), Error);
  EXPECT_THROW(release_rows(ctx, s, key, {}, (std::uint64_t{1} << 35) - 5, rows, wire), Error);
  EXPECT_NO_THROW(release_rows(ctx, s, key, {}, (std::uint64_t{1} << 35) - 6, rows, wire));
  for (const std::int32_t bound : {0, -1, (1 << 20) + 1})
    EXPECT_THROW(release_rows(ctx, settings_of(bound), key, {}, 0, rows, wire), Error);
  s.clip_norm = std::nan("");
  EXPECT_THROW(release_rows(ctx, s, key, {}, 0, rows, wire), Error);
  Tensor none({0, 3}), nothing({0, 3}, DType::kInt16);
  EXPECT_NO_THROW(release_rows(ctx, settings_of(10), key, {}, 0, none, nothing));
}

std::vector<double> clipped(const RowSettings& s, std::vector<double> a) {
  double n = 0;
  for (double& v : a) {
    if (s.sign == Sign::kNonnegative) v = std::max(v, 0.0);
    n += v * v;
  }
  n = std::sqrt(n);
  const double f = s.fit == Fit::kScaleToNorm ? s.clip_norm / n : std::min(1.0, s.clip_norm / n);
  for (double& v : a) v *= f;
  return a;
}

TEST(ClipBackward, IsTheJacobianOfTheClip) {
  Context ctx(Backend::kReference);
  for (const Sign sign : {Sign::kSigned, Sign::kNonnegative}) {
    for (const Fit fit : {Fit::kClip, Fit::kScaleToNorm}) {
      for (const double size : {0.05, 3.0}) {  // below and above the norm
        RowSettings s = settings_of(100);
        s.sign = sign;
        s.fit = fit;
        const std::int64_t d = 70;
        const Tensor rows = normal_rows(3, d, size, 11), grad = normal_rows(3, d, 1.0, 12);
        Tensor grad_x({3, d});
        clip_backward(ctx, s, rows, grad, grad_x);
        for (std::int64_t i = 0; i < 3; ++i) {
          for (std::int64_t j = 0; j < d; ++j) {
            const double h = 1e-5 * size;
            double expected = 0;
            for (const double side : {-1.0, 1.0}) {
              std::vector<double> a(static_cast<std::size_t>(d));
              for (std::int64_t k = 0; k < d; ++k)
                a[static_cast<std::size_t>(k)] = static_cast<double>(rows.f32()[static_cast<std::size_t>(i * d + k)]);
              a[static_cast<std::size_t>(j)] += side * h;
              const auto y = clipped(s, a);
              for (std::int64_t k = 0; k < d; ++k)
                expected +=
                    side * y[static_cast<std::size_t>(k)] * static_cast<double>(grad.f32()[static_cast<std::size_t>(i * d + k)]);
            }
            expected /= 2 * h;
            if (std::fabs(rows.f32()[static_cast<std::size_t>(i * d + j)]) < 2e-4 * size) continue;  // the kink of the clamp
            ASSERT_NEAR(grad_x.f32()[static_cast<std::size_t>(i * d + j)], expected, 2e-6 * (1 + 1 / size)) << i << " " << j;
          }
        }
      }
    }
  }
}

TEST(ClipBackward, GivesNothingToRowsThatWereZeroed) {
  Context ctx(Backend::kReference);
  Tensor rows = normal_rows(3, 5, 1.0), grad = normal_rows(3, 5, 1.0, 2), grad_x({3, 5});
  rows.f32()[7] = std::numeric_limits<float>::quiet_NaN();
  clip_backward(ctx, settings_of(10), rows, grad, grad_x);
  for (std::size_t j = 0; j < 15; ++j) EXPECT_EQ(grad_x.f32()[j] == 0.0f, j >= 5 && j < 10) << j;
  RowSettings stretch = settings_of(10);
  stretch.fit = Fit::kScaleToNorm;
  for (float& v : rows.f32()) v = 0.0f;
  clip_backward(ctx, stretch, rows, grad, grad_x);
  for (const float v : grad_x.f32()) EXPECT_EQ(v, 0.0f);
  // kClip passes the gradient of a short row through unchanged.
  clip_backward(ctx, settings_of(10), rows, grad, grad_x);
  for (std::size_t j = 0; j < 15; ++j) EXPECT_EQ(grad_x.f32()[j], grad.f32()[j]);
}

}  // namespace
}  // namespace sutura
