// wire: int8 in both directions: one scale per record, and gradients that carry their rounding on to the record's next one.
#include <cmath>

#include "core/random/philox.h"
#include "runtime/data/load.h"
#include "runtime/engine/wire_values.h"
#include "tests/engine/crew.h"

namespace sutura {
namespace {

using namespace sutura::testing;

Tensor drawn(const Shape& shape, std::uint64_t seed) {
  Tensor t(shape);
  PhiloxStream random(seed, "values");
  for (float& v : t.f32()) v = 2.0f * random.next_float() - 1.0f;
  return t;
}

class WireValues : public ::testing::Test {
 protected:
  Context ctx_{Backend::kReference, 1};
};

TEST_F(WireValues, Int8KeepsHalfAStepOfEachRecordsOwnScale) {
  Tensor x = drawn({5, 3, 4}, 1);
  for (std::size_t j = 0; j < 12; ++j) {
    x.f32()[12 + j] *= 1e-4f;  // the second record is small and keeps its own precision
    x.f32()[24 + j] = 0.0f;
  }
  const auto wire = encode_values(ctx_, Codec::kInt8, x);
  ASSERT_EQ(wire.size(), 2u);
  EXPECT_EQ(wire[0].data.size(), 60u);
  EXPECT_EQ(wire[1].data.size(), 20u);
  const Tensor y = decode_values(ctx_, Codec::kInt8, wire, x.shape(), "m");
  for (std::size_t r = 0; r < 5; ++r) {
    float largest = 0.0f;
    for (std::size_t j = 0; j < 12; ++j) largest = std::max(largest, std::abs(x.f32()[r * 12 + j]));
    for (std::size_t j = 0; j < 12; ++j)
      EXPECT_LE(std::abs(x.f32()[r * 12 + j] - y.f32()[r * 12 + j]), 0.51f * largest / 127.0f) << r;
  }
}

TEST_F(WireValues, WhatDoesNotFitIsRefused) {
  const Tensor x = drawn({4, 3}, 2);
  const auto wire = [&] { return encode_values(ctx_, Codec::kInt8, x); };
  const auto refused = [&](const std::vector<WireTensor>& tensors, const Shape& shape = {4, 3}, Codec codec = Codec::kInt8) {
    try {
      decode_values(ctx_, codec, tensors, shape, "m");
    } catch (const Error& e) {
      return e.code() == Errc::kProtocol;
    }
    return false;
  };
  EXPECT_FALSE(refused(wire()));
  EXPECT_TRUE(refused(wire(), {3, 4}));
  EXPECT_TRUE(refused(wire(), {4, 3}, Codec::kFloat32));
  EXPECT_TRUE(refused({}));
  auto changed = wire();
  changed.pop_back();
  EXPECT_TRUE(refused(changed));
  for (const float scale : {-1.0f, std::nanf(""), HUGE_VALF}) {
    Tensor scales = to_tensor(wire()[1]);
    scales.f32()[2] = scale;
    auto bad = wire();
    bad[1] = to_wire(scales);
    EXPECT_TRUE(refused(bad)) << scale;
  }
  changed = wire();
  changed[1].shape = Shape{2, 2};
  EXPECT_TRUE(refused(changed));
  Tensor nan = drawn({4, 3}, 2);
  nan.f32()[5] = std::nanf("");
  EXPECT_TRUE(refused(encode_values(ctx_, Codec::kInt8, nan))) << "a NaN does not turn into a number on the way";
}

TEST_F(WireValues, TheMeanOfARecordsGradientsConvergesWithFeedbackAlone) {
  // Ten records of width 8, three of them in each message, always with the same gradient.
  const Tensor truth = drawn({10, 8}, 3);
  constexpr int kVisits = 200;
  RoundingResidual residual;
  std::vector<double> with(80, 0.0), without(80, 0.0), visits(10, 0.0);
  for (int v = 0; v < 10 * kVisits / 3; ++v) {
    const std::vector<std::int64_t> records{v % 10, (v + 3) % 10, (v + 7) % 10};
    const Tensor x = gather_rows(truth, records);
    const Tensor a = decode_values(ctx_, Codec::kInt8, residual.encode(ctx_, x, records, 10), x.shape(), "m");
    const Tensor b = decode_values(ctx_, Codec::kInt8, encode_values(ctx_, Codec::kInt8, x), x.shape(), "m");
    for (std::size_t k = 0; k < 3; ++k) {
      const auto r = static_cast<std::size_t>(records[k]);
      ++visits[r];
      for (std::size_t j = 0; j < 8; ++j) {
        with[r * 8 + j] += a.f32()[k * 8 + j];
        without[r * 8 + j] += b.f32()[k * 8 + j];
      }
    }
  }
  double worst_with = 0.0, worst_without = 0.0;
  for (std::size_t i = 0; i < 80; ++i) {
    worst_with = std::max(worst_with, std::abs(with[i] / visits[i / 8] - truth.f32()[i]));
    worst_without = std::max(worst_without, std::abs(without[i] / visits[i / 8] - truth.f32()[i]));
  }
  // The sum is never further off than one rounding, half of 1/127.
  EXPECT_LT(worst_with, 1.1 * 0.5 / 127.0 / (kVisits - 1));
  EXPECT_GT(worst_without, 0.25 / 127.0);
}

class Int8Study : public SplitRun {
 protected:
  double wdbc_auc(Codec codec, std::uint64_t seed) {
    const LoadedStudy loaded = [&] {
      LoadedStudy l = load_study(std::filesystem::path(SUTURA_SOURCE_DIR) / "configs/wdbc_vanilla.yaml");
      l.config.privacy = {};
      l.config.privacy.because = "a test";
      l.config.privacy.labels = LabelPolicy::kPublic;
      l.config.seed = seed;
      l.config.wire = {codec, codec};
      return l;
    }();
    const auto sites = load_sites(loaded.config.data, seed);
    const Prepared prepared = prepare(loaded, feature_rows(loaded.config, nullptr));
    const PartyResult r = simulate(prepared, sites, folder() / (std::to_string(seed) + (codec == Codec::kInt8 ? "i" : "f")), {});
    EXPECT_TRUE(r.test && r.test->auc);
    up_bytes_ = r.epochs.back().traffic.up_bytes;
    return r.test && r.test->auc ? *r.test->auc : 0.0;
  }
  std::uint64_t up_bytes_ = 0;
};

TEST_F(Int8Study, ReachesTheAucOfFloat32) {
  for (const std::uint64_t seed : {1, 2}) {
    const double f32 = wdbc_auc(Codec::kFloat32, seed);
    const std::uint64_t f32_bytes = up_bytes_;
    const double int8 = wdbc_auc(Codec::kInt8, seed);
    EXPECT_GT(f32, 0.97);
    EXPECT_NEAR(int8, f32, 0.01) << "seed " << seed;
    EXPECT_LT(up_bytes_, f32_bytes);
    RecordProperty("auc_f32_" + std::to_string(seed), std::to_string(f32));
    RecordProperty("auc_int8_" + std::to_string(seed), std::to_string(int8));
  }
}

TEST_F(Int8Study, FeedbackBelongsToTheRecordWhateverTheOrder) {
  // The same study twice gives the same bits: residuals are a function of the records, not of timing.
  StudyText text;
  text.topology = "vanilla";
  text.network = "zoo: mlp, hidden: [7, 6], cuts: [act1]";
  text.sites = {"north", "east"};
  text.record = {1, 6};
  text.micro_batches = 2;
  text.epochs = 4;
  std::vector<SiteData> data;
  data.push_back(make_site("north", {1, 6}, {23}));
  data.push_back(make_site("east", {1, 6}, {9}, 18));
  const auto trained = [&](Codec codec) {
    Crew crew(folder() / "crew", text, data, [&](StudyConfig& s) { s.wire = {codec, codec}; });
    return crew.work(crew.training(4));
  };
  const auto a = trained(Codec::kInt8), b = trained(Codec::kInt8), f32 = trained(Codec::kFloat32);
  for (const std::string name : {"north", "east", "server"}) {
    EXPECT_EQ(a.at(name).error, "");
    EXPECT_EQ(difference(a.at(name), b.at(name)), "");
    EXPECT_NE(difference(a.at(name), f32.at(name)), "");
  }
  const auto x = a.at("server").weights.at("tail").f32(), y = f32.at("server").weights.at("tail").f32();
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], 0.1);
}

}  // namespace
}  // namespace sutura
