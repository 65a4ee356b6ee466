#include "models/registry.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "core/nearest_name.h"
#include "models/layers/norm.h"
#include "tests/models/zoo_cases.h"

namespace sutura::testing {
namespace {

using Int = std::int64_t;
using List = std::vector<std::int64_t>;

NetworkSpec zoo(const std::string& name, Options options = {}) { return {name, std::move(options), {}}; }
NetworkSpec list(std::vector<LayerSpec> layers) { return {"", {}, std::move(layers)}; }

std::int64_t trained_weights(const NetworkSpec& spec, const Shape& input, std::int64_t outputs) {
  return build_network(spec, input, outputs).make_params(1).trained();
}

/// The message of the kConfig error that building `spec` gives.
std::string refusal(const NetworkSpec& spec, const Shape& input = {1, 28, 28, 1}, std::int64_t outputs = 1) {
  try {
    build_network(spec, input, outputs);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kConfig) << e.what();
    return e.what();
  }
  return "no error";
}

#define EXPECT_REFUSED(spec_and_input, text) EXPECT_NE((spec_and_input).find(text), std::string::npos) << (spec_and_input)

TEST(Zoo, WeightCountsAreThoseOfTheDocumentation) {
  EXPECT_EQ(trained_weights(zoo("xray_cnn"), {1, 28, 28, 1}, 1), 156769);
  // torchvision's ResNet-18 with a CIFAR stem: 11,173,962 weights for 3 channels and 10 classes.
  EXPECT_EQ(trained_weights(zoo("resnet18"), {1, 32, 32, 3}, 10), 11173962);
  EXPECT_EQ(trained_weights(zoo("resnet18"), {1, 28, 28, 1}, 1), 11168193);
  EXPECT_EQ(trained_weights(zoo("resnet18", {{"norm", std::string("batch")}}), {1, 28, 28, 1}, 1), 11168193);
  // torchvision.models.resnet18(): 11,689,512 weights, of which the 1000-class layer has 513,000.
  EXPECT_EQ(trained_weights(zoo("resnet18", {{"stem", std::string("imagenet")}}), {1, 224, 224, 3}, 1000), 11689512);
  EXPECT_EQ(trained_weights(zoo("mlp", {{"hidden", List{32, 16}}}), {1, 13}, 1), 13 * 32 + 32 + 32 * 16 + 16 + 16 + 1);
  EXPECT_EQ(trained_weights(zoo("mlp", {{"hidden", std::vector<double>{}}}), {1, 13}, 1), 14);
  EXPECT_EQ(trained_weights(zoo("ecg_cnn1d"), {1, 1, 128, 1}, 5), 136773);
}

TEST(Zoo, LayerNamesAreThoseThatStudiesCutAt) {
  const auto names = [](const NetworkSpec& s, const Shape& x) { return build_network(s, x, 1).layer_names(); };
  using Names = std::vector<std::string>;
  EXPECT_EQ(names(zoo("mlp", {{"hidden", List{4, 3}}, {"dropout", 0.1}}), {1, 2}),
            (Names{"fc1", "act1", "drop1", "fc2", "act2", "drop2", "out"}));
  EXPECT_EQ(names(zoo("xray_cnn"), {1, 28, 28, 1}),
            (Names{"conv1", "norm1", "act1",  "pool1", "conv2", "norm2", "act2", "conv3", "norm3", "act3",
                   "pool3", "conv4", "norm4", "act4",  "conv5", "norm5", "act5", "pool",  "drop",  "out"}));
  EXPECT_EQ(names(zoo("resnet18"), {1, 28, 28, 1}),
            (Names{"stem.conv", "stem.norm", "stem.act", "stage1.0", "stage1.1", "stage2.0", "stage2.1", "stage3.0", "stage3.1",
                   "stage4.0", "stage4.1", "pool", "out"}));
  EXPECT_EQ(names(zoo("ecg_cnn1d", {{"dropout", Int{0}}}), {1, 1, 128, 1}),
            (Names{"conv1", "norm1", "act1", "pool1", "conv2", "norm2", "act2", "pool2", "conv3", "norm3", "act3", "pool3",
                   "conv4", "norm4", "act4", "pool", "out"}));
  const ParamStore p = build_network(zoo("resnet18", {{"norm", std::string("batch")}}), {1, 28, 28, 1}, 1).make_params(1);
  for (const char* name : {"stage2.0.shortcut.conv.weight", "stage2.0.conv1.weight", "stage4.1.norm2.running_var", "out.bias"})
    EXPECT_NE(std::ranges::find(p.entries(), name, &ParamEntry::name), p.entries().end()) << name;
}

TEST(Zoo, OnlyBatchNormCouplesRecords) {
  const auto couples = [](const Network& n) {
    bool any = false;
    for (std::size_t i = 0; i < n.size(); ++i) any = any || n.layer(i).couples_records();
    return any;
  };
  for (const ZooCase& c : zoo_cases())
    EXPECT_EQ(couples(build(c)), c.name == "resnet18_batch" || c.name == "layer_list") << c.name;
}

TEST(Zoo, FlopsOfResnet18AreThePublishedOnes) {
  // He et al. 2016, table 1: 1.8e9 multiply-adds for a picture of 224 x 224.
  const Network n = build_network(zoo("resnet18", {{"stem", std::string("imagenet")}}), {1, 224, 224, 3}, 1000);
  EXPECT_NEAR(n.flops({1, 224, 224, 3}), 2 * 1.81e9, 0.06e9);
  EXPECT_DOUBLE_EQ(n.flops({3, 224, 224, 3}), 3 * n.flops({1, 224, 224, 3}));
}

TEST(Zoo, UnknownNamesOptionsAndValuesAreRefusedWithAHint) {
  EXPECT_REFUSED(refusal(zoo("resnet")), "unknown network 'resnet'; did you mean 'resnet18'?");
  EXPECT_REFUSED(refusal(zoo("transformer")), "known: mlp, xray_cnn, resnet18, ecg_cnn1d");
  EXPECT_REFUSED(refusal(zoo("xray_cnn", {{"widht", Int{8}}})),
                 "network xray_cnn: unknown option 'widht'; did you mean 'width'?");
  EXPECT_REFUSED(refusal(zoo("xray_cnn", {{"width", Int{0}}})), "option 'width' must be 1 to 4096, got 0");
  EXPECT_REFUSED(refusal(zoo("xray_cnn", {{"width", 8.0}})), "option 'width' must be a whole number");
  EXPECT_REFUSED(refusal(zoo("xray_cnn", {{"dropout", 1.0}})), "option 'dropout' must be at least 0 and below 1, got 1");
  EXPECT_REFUSED(refusal(zoo("resnet18", {{"norm", std::string("bach")}})), "did you mean 'batch'?");
  EXPECT_REFUSED(refusal(zoo("resnet18"), {1, 28, 28}), "takes images [N, H, W, C]");
  EXPECT_REFUSED(refusal(zoo("resnet18", {{"stem", std::string("imagenet")}})), "at least 32 x 32");
  EXPECT_REFUSED(refusal(zoo("ecg_cnn1d")), "takes signals [N, 1, L, C]");
  EXPECT_REFUSED(refusal(zoo("ecg_cnn1d", {{"kernel", Int{4}}}), {1, 1, 64, 1}), "must be odd");
  EXPECT_REFUSED(refusal(zoo("mlp")), "takes rows [N, D]");
  EXPECT_REFUSED(refusal(zoo("mlp"), {1, 4}, 0), "at least one output");
  EXPECT_REFUSED(refusal(NetworkSpec{}), "either a zoo name or a list");
}

TEST(LayerList, BuildsEveryType) {
  const NetworkSpec spec = list({
      {"conv1",
       "conv2d",
       {{"filters", Int{4}}, {"kernel", Int{3}}, {"stride", List{1, 2}}, {"pad", Int{1}}, {"bias", std::string("false")}}},
      {"norm1", "batch_norm", {{"momentum", 0.2}}},
      {"act1", "relu", {}},
      {"pool1", "max_pool", {{"kernel", List{2, 1}}}},
      {"block", "residual", {{"filters", Int{8}}, {"stride", Int{2}}, {"norm", std::string("group")}}},
      {"norm2", "group_norm", {{"groups", Int{2}}, {"eps", 1e-4}}},
      {"act2", "gelu", {}},
      {"pool2", "avg_pool", {{"kernel", Int{2}}, {"stride", Int{1}}}},
      {"flat", "flatten", {}},
      {"norm3", "layer_norm", {}},
      {"drop", "dropout", {{"rate", 0.25}}},
      {"fc", "linear", {{"outputs", Int{6}}}},
      {"act3", "sigmoid", {}},
      {"out", "linear", {{"outputs", Int{-1}}}},
  });
  const Network n = build_network(spec, {1, 8, 8, 2}, 3);
  EXPECT_EQ(n.output_shape({5, 8, 8, 2}), (Shape{5, 3}));
  // And it trains: the whole chain runs forward and back.
  Context ctx(Backend::kReference);
  ParamStore params = n.make_params(2);
  Saved saved;
  const Tensor y = n.forward(ctx, params, random_values({3, 8, 8, 2}, "x"), saved, {});
  const Tensor grad_x = n.backward(ctx, params, saved, random_values({3, 3}, "g"), InputGrad::kNeeded);
  EXPECT_EQ(grad_x.shape(), (Shape{3, 8, 8, 2}));
  for (const ParamEntry& e : params.entries()) {
    if (e.role != ParamRole::kTrained) continue;
    const auto g = part(params.grads(), e);
    EXPECT_TRUE(std::ranges::any_of(g, [](float v) { return v != 0.0f && std::isfinite(v); })) << e.name;
  }
  const Network signal = build_network(
      list({{"c", "conv1d", {{"filters", Int{4}}, {"kernel", Int{5}}, {"pad", Int{2}}}}, {"p", "global_avg_pool", {}}}),
      {1, 1, 32, 1}, 1);
  EXPECT_EQ(signal.output_shape({2, 1, 32, 1}), (Shape{2, 4}));
  EXPECT_EQ(layer_types().size(), 17u);
}

TEST(LayerList, RefusesWithTheLayersName) {
  const auto one = [](const std::string& type, Options options = {}) { return list({{"first", type, std::move(options)}}); };
  EXPECT_REFUSED(refusal(one("convd2")), "layer first: unknown type 'convd2'; did you mean 'conv2d'?");
  EXPECT_REFUSED(refusal(one("conv2d", {{"filters", Int{4}}, {"kernal", Int{3}}})),
                 "unknown option 'kernal'; did you mean 'kernel'?");
  EXPECT_REFUSED(refusal(one("conv2d", {{"filters", Int{4}}})), "layer first (conv2d): needs the option 'kernel'");
  EXPECT_REFUSED(refusal(one("conv2d", {{"filters", Int{4}}, {"kernel", Int{30}}})), "layer first");
  EXPECT_REFUSED(refusal(one("conv2d", {{"filters", Int{4}}, {"kernel", Int{3}}, {"pad", Int{3}}})), "'pad' must be smaller");
  EXPECT_REFUSED(refusal(one("conv1d", {{"filters", Int{4}}, {"kernel", Int{3}}})), "takes signals [N, 1, L, C]");
  EXPECT_REFUSED(refusal(one("relu", {{"slope", 0.1}})), "unknown option 'slope'; it takes no options");
  EXPECT_REFUSED(refusal(one("group_norm", {{"groups", Int{2}}})), "must divide the 1 channels, got 2");
  EXPECT_REFUSED(refusal(one("linear", {{"outputs", Int{4}}})), "takes rows [N, D], got [1, 28, 28, 1]; put a flatten");
  EXPECT_REFUSED(refusal(one("unit_rows"), {1, 65}), "takes 1 to 64 columns, got 65");
  EXPECT_REFUSED(refusal(list({{"a", "relu", {}}, {"a", "relu", {}}})), "another layer bears this name");
  EXPECT_REFUSED(refusal(list({{"", "relu", {}}})), "needs a name");
  EXPECT_REFUSED(refusal(list({{"a", "linear", {{"outputs", Int{-1}}}}, {"b", "linear", {{"outputs", Int{-1}}}}}), {1, 4}),
                 "layer a (linear): option 'outputs' must be at least 1, or -1 in the last");
  NetworkSpec both = zoo("mlp");
  both.layers = {{"a", "relu", {}}};
  EXPECT_REFUSED(refusal(both), "either a zoo name or a list");
}

TEST(LayerList, WrongInputsAtRunTimeNameTheLayer) {
  Context ctx(Backend::kReference);
  const Network n = build_network(zoo("mlp"), {1, 7}, 1);
  const ParamStore params = n.make_params(1);
  Saved saved;
  try {
    n.forward(ctx, params, Tensor::zeros({2, 6}), saved, {});
    FAIL() << "six columns went into a network for seven";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kShapeMismatch);
    EXPECT_NE(std::string(e.what()).find("layer fc1 (linear) takes [N, 7], got [2, 6]"), std::string::npos) << e.what();
  }
}

TEST(DefaultGroups, AreEightForTheUsualWidthsAndLeaveTwoChannels) {
  for (const Int c : {24, 48, 64, 96, 512}) EXPECT_EQ(default_groups(c), 8) << c;
  EXPECT_EQ(default_groups(1), 1);
  EXPECT_EQ(default_groups(4), 2);
  EXPECT_EQ(default_groups(7), 1);
  EXPECT_EQ(default_groups(20), 5);
}

TEST(NearestName, FindsTyposAndRefusesStrangers) {
  const std::vector<std::string> known = {"learning_rate", "momentum", "relu", "gelu"};
  EXPECT_EQ(nearest_name("learing_rate", known), "learning_rate");
  EXPECT_EQ(nearest_name("LEARNING_RATE", known), "learning_rate");
  EXPECT_EQ(nearest_name("mometnum", known), "momentum");
  EXPECT_EQ(nearest_name("rleu", known), "relu");
  EXPECT_EQ(nearest_name("elu", known), "relu");  // the first of equals
  EXPECT_EQ(nearest_name("epsilon", known), std::nullopt);
  EXPECT_EQ(nearest_name("", known), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(100000, 'a'), known), std::nullopt);
  EXPECT_EQ(name_hint("epsilon", known), "; known: learning_rate, momentum, relu, gelu");
  EXPECT_EQ(name_hint("relo", known), "; did you mean 'relu'?");
  EXPECT_EQ(name_hint("x", {}), "");
}

}  // namespace
}  // namespace sutura::testing
