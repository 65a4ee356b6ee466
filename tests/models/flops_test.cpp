// Operations of every layer against counts by hand: 2 per multiply-add, 0 for what only moves data.
#include <gtest/gtest.h>

#include <map>

#include "models/registry.h"

namespace sutura::testing {
namespace {

using Int = std::int64_t;
using List = std::vector<std::int64_t>;

/// FLOPs by layer of a list of layers on three records of the input's shape, divided by three.
std::map<std::string, double> by_layer(std::vector<LayerSpec> layers, const Shape& input) {
  const Network network = build_network({"", {}, std::move(layers)}, input, 1);
  std::map<std::string, double> counts;
  Shape x = input.with_batch(3);
  double sum = 0.0;
  for (std::size_t l = 0; l < network.size(); ++l) {
    counts[network.layer(l).name()] = network.layer(l).flops(x) / 3.0;
    sum += network.layer(l).flops(x);
    x = network.layer(l).output_shape(x);
  }
  EXPECT_DOUBLE_EQ(network.flops(input.with_batch(3)), sum);
  return counts;
}

TEST(Flops, OfImageLayers) {
  const auto counts = by_layer({{"conv", "conv2d", {{"outputs", Int{4}}, {"kernel", Int{3}}, {"pad", Int{1}}}},
                                {"group", "group_norm", {{"groups", Int{2}}}},
                                {"batch", "batch_norm", {}},
                                {"relu", "relu", {}},
                                {"gelu", "gelu", {}},
                                {"max", "max_pool", {{"kernel", Int{2}}}},
                                {"avg", "avg_pool", {{"kernel", Int{2}}}},
                                {"drop", "dropout", {{"rate", 0.5}}},
                                {"global", "global_avg_pool", {}},
                                {"out", "linear", {{"outputs", Int{1}}}}},
                               {1, 8, 8, 3});
  EXPECT_EQ(counts.at("conv"), 2.0 * 8 * 8 * 4 * 3 * 3 * 3) << "every output value takes 3 x 3 x 3 multiply-adds";
  EXPECT_EQ(counts.at("group"), 8.0 * 8 * 8 * 4) << "mean 1, variance 3, normalise 2, scale and shift 2 per value";
  EXPECT_EQ(counts.at("batch"), 8.0 * 8 * 8 * 4);
  EXPECT_EQ(counts.at("relu"), 8.0 * 8 * 4);
  EXPECT_EQ(counts.at("gelu"), 4.0 * 8 * 8 * 4);
  EXPECT_EQ(counts.at("max"), 4.0 * 4 * 4 * 4) << "4 values for each of 4 x 4 x 4 outputs";
  EXPECT_EQ(counts.at("avg"), 4.0 * 2 * 2 * 4);
  EXPECT_EQ(counts.at("drop"), 0.0);
  EXPECT_EQ(counts.at("global"), 2.0 * 2 * 4);
  EXPECT_EQ(counts.at("out"), 2.0 * 4);
}

TEST(Flops, OfRowLayers) {
  const auto counts = by_layer({{"fc", "linear", {{"outputs", Int{7}}}},
                                {"norm", "layer_norm", {}},
                                {"squash", "sigmoid", {}},
                                {"out", "linear", {{"outputs", Int{1}}}}},
                               {1, 5});
  EXPECT_EQ(counts.at("fc"), 2.0 * 5 * 7);
  EXPECT_EQ(counts.at("norm"), 8.0 * 7);
  EXPECT_EQ(counts.at("squash"), 4.0 * 7);
  EXPECT_EQ(counts.at("out"), 2.0 * 7);
}

TEST(Flops, OfAPublicFront) {
  const auto counts = by_layer({{"bands", "band_energies", {{"grid", Int{2}}, {"cosines", Int{3}}}},
                                {"unit", "unit_rows", {}},
                                {"out", "linear", {{"outputs", Int{1}}}}},
                               {1, 8, 8, 1});
  EXPECT_EQ(counts.at("bands"), 8.0 * 8 * (2 * 2 * (9 + 17) + 2 * 3)) << "two separable blurs of 9 and 17 taps, 3 cosines";
  EXPECT_GT(counts.at("unit"), 0.0);
}

TEST(Flops, OfAResidualBlockAreItsTwoPathsAndTheirSum) {
  // The CIFAR stem on 28 x 28: stage 1 has 64 channels, stage 2 halves the sides and doubles the channels.
  const Network n = build_network({"resnet18", {}, {}}, {1, 28, 28, 1}, 1);
  Shape x{1, 28, 28, 1};
  std::map<std::string, double> counts;
  for (std::size_t l = 0; l < n.size(); ++l) {
    counts[n.layer(l).name()] = n.layer(l).flops(x);
    x = n.layer(l).output_shape(x);
  }
  const double side = 28 * 28, half = 14 * 14;
  ASSERT_TRUE(counts.contains("stage1.0") && counts.contains("stage2.0"));
  // Two convolutions, two norms, one ReLU inside, the sum and the last ReLU.
  EXPECT_EQ(counts.at("stage1.0"), 2 * (2 * side * 64 * 9 * 64) + 2 * 8 * side * 64 + side * 64 + 2 * side * 64);
  EXPECT_EQ(counts.at("stage2.0"), 2 * half * 128 * 9 * 64 + 2 * half * 128 * 9 * 128 + 2 * half * 128 * 64  // with the shortcut
                                       + 3 * 8 * half * 128 + half * 128 + 2 * half * 128);
}

TEST(Flops, OfResnet18OnSmallPicturesAreThoseOfItsConvolutions) {
  // 456 million multiply-adds per record of 28 x 28 x 1: the count behind the project's CPU measurements.
  const Network n = build_network({"resnet18", {}, {}}, {1, 28, 28, 1}, 1);
  const double total = n.flops({1, 28, 28, 1});
  EXPECT_GT(total, 2 * 455e6);
  EXPECT_LT(total, 2 * 456.5e6 * 1.01) << "norms, activations and sums add less than a hundredth";
}

}  // namespace
}  // namespace sutura::testing
