// The public fronts: fixed before any patient's picture was seen.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <numeric>

#include "core/error.h"
#include "models/layers/band_energies.h"
#include "models/layers/unit_rows.h"
#include "models/safetensors.h"
#include "tests/models/zoo_cases.h"

namespace sutura::testing {
namespace {

using Int = std::int64_t;

Tensor apply(const Layer& layer, const Tensor& x) {
  Context ctx(Backend::kReference);
  Saved saved;
  return layer.forward(ctx, {}, x.clone(), saved, {});
}

TEST(UnitRows, RowsHaveLengthOneZeroRowsStayZero) {
  UnitRows layer;
  Tensor x = random_values({5, 64}, "rows");
  for (float& v : x.rows(2, 1).f32()) v = 0.0f;
  for (float& v : x.rows(3, 1).f32()) v *= 1e-30f;
  for (float& v : x.rows(4, 1).f32()) v *= 1e30f;
  const Tensor y = apply(layer, x);
  for (const Int row : {0, 1, 3, 4}) {
    double square = 0.0;
    const Tensor r = y.rows(row, 1);
    for (const float v : r.f32()) square += static_cast<double>(v) * v;
    EXPECT_NEAR(square, 1.0, 1e-6) << row;
    EXPECT_GT(r.f32()[0] * x.rows(row, 1).f32()[0], 0.0f) << "direction";
  }
  for (const float v : y.rows(2, 1).f32()) EXPECT_EQ(v, 0.0f);
}

TEST(UnitRows, RefusesWideRowsAndTraining) {
  UnitRows layer;
  layer.set_name("rows");
  EXPECT_THROW(apply(layer, Tensor::zeros({2, 65})), Error);
  EXPECT_THROW(apply(layer, Tensor::zeros({2, 8, 8})), Error);
  Context ctx(Backend::kReference);
  Saved saved;
  try {
    layer.backward(ctx, {}, saved, Tensor::zeros({2, 8}), InputGrad::kNeeded);
    FAIL() << "a public front trained";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kInternal);
  }
}

/// Features of smooth random pictures, so that cells differ.
Tensor pictures(Int n, Int h, Int w) {
  Tensor x = random_values({n, h, w, 1}, "pictures");
  auto v = x.f32();
  for (std::size_t i = 1; i < v.size(); ++i) v[i] = 0.7f * v[i - 1] + 0.3f * v[i];
  return x;
}

TEST(BandEnergies, ConstantsCentreAndScaleTheSyntheticPictures) {
  const BandEnergies layer(28, 28, {4, 12, 1.5});
  ASSERT_EQ(layer.centre().size(), 28u);
  for (std::size_t k = 0; k < 16; ++k) {
    // The synthesis is periodic, so all cells inside look alike; white noise or another band would lie elsewhere. numpy with
    // an FFT synthesis gives -1.776 and 0.289 on average.
    EXPECT_NEAR(layer.centre()[k], -1.776, 0.12) << k;
    EXPECT_NEAR(layer.spread()[k], 0.289, 0.06) << k;
  }
  for (std::size_t k = 16; k < 28; ++k) {
    // A cosine has mean 0: 3,000 pictures leave sd / 55.
    EXPECT_LT(std::abs(layer.centre()[k]), 4.0 * layer.spread()[k] / std::sqrt(3000.0)) << k;
    EXPECT_GT(layer.spread()[k], 1.0) << k;
  }
  // The same to the bit each time, and different for another exponent.
  const BandEnergies again(28, 28, {4, 12, 1.5}), flatter(28, 28, {4, 12, 1.0});
  EXPECT_EQ(layer.centre(), again.centre());
  EXPECT_EQ(layer.spread(), again.spread());
  EXPECT_GT(flatter.centre()[0], layer.centre()[0] + 0.1) << "flatter spectra have more fine texture";
}

TEST(BandEnergies, ConstantsArePinned) {
  // Public constants belong to every released row's meaning: whoever changes them changes what old rows mean.
  const BandEnergies layer(8, 8, {2, 1, 1.5});
  std::vector<double> all = layer.centre();
  all.insert(all.end(), layer.spread().begin(), layer.spread().end());
  EXPECT_EQ(to_hex(blake2b(as_bytes(all))).substr(0, 16), "3dca6ec3752d2d72");
}

TEST(BandEnergies, FeaturesAreThoseOfScipy) {
  const auto base = (std::filesystem::temp_directory_path() / ("sutura_bands_" + std::to_string(::getpid()))).string();
  for (const auto& [h, w, grid, cosines] : {std::array<Int, 4>{28, 28, 4, 12}, {13, 22, 5, 20}, {6, 5, 2, 29}}) {
    const Tensor x = pictures(3, h, w);
    write_safetensors(base + ".in", {{"x", &x}});
    const std::string command = "/usr/bin/python3 " SUTURA_SOURCE_DIR "/tests/models/band_energies_oracle.py " + base + ".in " +
                                std::to_string(grid) + " " + std::to_string(cosines) + " " + base + ".out";
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    const auto oracle = read_safetensors(base + ".out");
    std::filesystem::remove(base + ".in");
    std::filesystem::remove(base + ".out");
    const BandEnergies layer(h, w, {grid, cosines, 1.5});
    const Tensor y = apply(layer, x);
    ASSERT_EQ(oracle.at("y").shape(), y.shape());
    const std::size_t features = layer.centre().size();
    for (std::size_t i = 0; i < y.f32().size(); ++i) {
      const double raw = y.f32()[i] * layer.spread()[i % features] + layer.centre()[i % features];
      EXPECT_NEAR(raw, oracle.at("y").f32()[i], 2e-5) << h << " x " << w << ", feature " << i % features;
    }
  }
}

TEST(BandEnergies, BrightnessAndContrastDoNotMatterTextureDoes) {
  const BandEnergies layer(16, 20, {4, 3, 1.5});
  const Tensor x = pictures(2, 16, 20);
  Tensor brighter = x.clone();
  for (float& v : brighter.f32()) v = 2.0f * v + 5.0f;
  const Tensor y = apply(layer, x), same = apply(layer, brighter);
  EXPECT_EQ(y.shape(), (Shape{2, 19}));
  EXPECT_LT(relative_error(same.f32(), y.f32()), 1e-5);
  Tensor rough = x.clone();
  for (std::size_t i = 0; i < rough.f32().size(); ++i) rough.f32()[i] += ((i / 2) % 2 == 0) ? 0.5f : -0.5f;
  const Tensor more = apply(layer, rough);
  EXPECT_GT(std::accumulate(more.f32().begin(), more.f32().begin() + 16, 0.0),
            std::accumulate(y.f32().begin(), y.f32().begin() + 16, 0.0));
}

TEST(BandEnergies, RecordsDoNotInfluenceEachOther) {
  const BandEnergies layer(12, 12, {3, 2, 1.5});
  Tensor x = pictures(3, 12, 12);
  const Tensor alone = apply(layer, x.rows(2, 1));
  x.f32()[5] = std::nanf("");
  for (float& v : x.rows(1, 1).f32()) v = 0.1f;  // flat: standardised to zeros, not to magnified rounding
  const Tensor y = apply(layer, x);
  for (std::size_t k = 0; k < 11; ++k) {
    EXPECT_TRUE(std::isnan(y.f32()[k]));
    EXPECT_TRUE(std::isfinite(y.f32()[11 + k]));
  }
  EXPECT_TRUE(same_bytes(y.rows(2, 1), alone));
}

TEST(BandEnergies, RefusesWhatItWasNotMadeForAndTraining) {
  BandEnergies layer(8, 8, {2, 0, 1.5});
  EXPECT_THROW(apply(layer, Tensor::zeros({1, 8, 9, 1})), Error);
  EXPECT_THROW(apply(layer, Tensor::zeros({1, 8, 8, 3})), Error);
  EXPECT_THROW(BandEnergies(3, 8, {4, 0, 1.5}), Error);
  EXPECT_THROW(BandEnergies(4, 4, {0, 0, 1.5}), Error);
  EXPECT_THROW(BandEnergies(4, 4, {0, 16, 1.5}), Error);
  Context ctx(Backend::kReference);
  Saved saved;
  EXPECT_THROW(layer.backward(ctx, {}, saved, Tensor::zeros({1, 4}), InputGrad::kNotNeeded), Error);
}

TEST(PublicFronts, AFrozenFrontInALargerNetworkIsNeverAskedForAGradient) {
  const NetworkSpec spec{"",
                         {},
                         {{"bands", "band_energies", {{"grid", Int{2}}, {"cosines", Int{3}}}},
                          {"rows", "unit_rows", {}},
                          {"out", "linear", {{"outputs", Int{-1}}}}}};
  const Network n = build_network(spec, {1, 8, 8, 1}, 1);
  Context ctx(Backend::kReference);
  ParamStore params = n.make_params(1);
  EXPECT_EQ(params.total(), 8);
  Saved saved;
  n.forward(ctx, params, pictures(3, 8, 8), saved, {});
  EXPECT_FALSE(n.backward(ctx, params, saved, random_values({3, 1}, "g"), InputGrad::kNotNeeded).defined());
  EXPECT_NE(params.grads().f32()[0], 0.0f);
}

/// Area under the ROC curve: the share of (positive, negative) pairs in order, ties counting half.
double auc(const std::vector<double>& score, std::span<const float> label) {
  double pairs = 0.0, good = 0.0;
  for (std::size_t i = 0; i < score.size(); ++i) {
    for (std::size_t j = 0; j < score.size(); ++j) {
      if (label[i] != 1.0f || label[j] != 0.0f) continue;
      pairs += 1.0;
      good += score[i] > score[j] ? 1.0 : score[i] == score[j] ? 0.5 : 0.0;
    }
  }
  return good / pairs;
}

TEST(PublicFronts, LessFineTextureIsPneumoniaWithoutAnyTraining) {
  const char* data = std::getenv("SUTURA_DATA");
  if (data == nullptr) GTEST_SKIP() << "SUTURA_DATA is not set";
  const auto npz = std::filesystem::path(data) / "pneumoniamnist" / "pneumoniamnist.npz";
  if (!std::filesystem::exists(npz)) GTEST_SKIP() << "PneumoniaMNIST is not there";
  const auto file = std::filesystem::temp_directory_path() / ("sutura_xray_" + std::to_string(::getpid()) + ".safetensors");
  const std::string command =
      "/usr/bin/python3 " SUTURA_SOURCE_DIR "/tests/models/xray_to_safetensors.py " + npz.string() + " " + file.string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  const auto tensors = read_safetensors(file);
  std::filesystem::remove(file);
  const Tensor rows = apply(BandEnergies(28, 28), tensors.at("images"));  // [624, 16]
  const Tensor units = apply(UnitRows(), rows);
  std::vector<double> sums, unit_sums;
  for (Int n = 0; n < rows.shape()[0]; ++n) {
    const Tensor row = rows.rows(n, 1), unit = units.rows(n, 1);
    sums.push_back(-std::accumulate(row.f32().begin(), row.f32().end(), 0.0));
    unit_sums.push_back(-std::accumulate(unit.f32().begin(), unit.f32().end(), 0.0));
  }
  const double plain = auc(sums, tensors.at("labels").f32()), normalised = auc(unit_sums, tensors.at("labels").f32());
  RecordProperty("auc_minus_sum", std::to_string(plain));
  RecordProperty("auc_minus_sum_unit_rows", std::to_string(normalised));
  std::printf("minus the sum of 16 band energies: test AUC %.4f, of unit rows %.4f\n", plain, normalised);
  EXPECT_GE(plain, 0.91);
  EXPECT_GE(normalised, 0.91);
}

}  // namespace
}  // namespace sutura::testing
