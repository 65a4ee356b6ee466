// Against PyTorch, tensor by tensor: torch_fixture.safetensors, written by make_torch_fixture.py with torch 1.13.
#include <gtest/gtest.h>

#include "models/optimizers/optimizer.h"
#include "models/safetensors.h"
#include "tests/models/zoo_cases.h"

namespace sutura::testing {
namespace {

using Fixture = std::map<std::string, Tensor>;

Fixture read_fixture() { return read_safetensors(std::string(SUTURA_SOURCE_DIR) + "/tests/models/torch_fixture.safetensors"); }

/// The generator's hash, uniform in [-1, 1).
double hashed(std::uint64_t i) {
  return static_cast<double>(((i * 2654435761u) & 0xffffffffu) >> 8) / static_cast<double>(1 << 23) - 1.0;
}

/// The generator's fill(): weights by formula, in the order of the layers' own parameter lists.
void fill(const Network& network, ParamStore& params) {
  std::uint64_t next = 1;
  for (std::size_t l = 0; l < network.size(); ++l) {
    for (const ParamSpec& spec : network.layer(l).param_specs()) {
      const std::string name = network.layer(l).name() + "." + spec.name;
      const auto e = std::ranges::find(params.entries(), name, &ParamEntry::name);
      for (std::int64_t i = 0; i < spec.shape.elements(); ++i) {
        double v = hashed(next++);
        if (spec.role == ParamRole::kStatistic) continue;
        if (spec.shape.rank() == 4)
          v = v / std::sqrt(static_cast<double>(spec.shape.row_elements()));
        else if (spec.shape.rank() == 2)
          v = v * (1.0 / std::sqrt(static_cast<double>(spec.shape[1])));
        else
          v = v * 0.1 + (name.find("norm") != std::string::npos && name.ends_with("weight") ? 1.0 : 0.0);
        params.values().f32()[static_cast<std::size_t>(e->offset + i)] = static_cast<float>(v);
      }
    }
  }
}

Tensor integer_labels(const Tensor& from) {
  Tensor labels(from.shape(), DType::kInt32);
  std::ranges::transform(from.f32(), labels.as<std::int32_t>().begin(), [](float v) { return static_cast<std::int32_t>(v); });
  return labels;
}

/// The fixture keeps every stride-th value of a gradient, its norm and a weighted sum.
void expect_gradient(const Fixture& fixture, const std::string& key, std::span<const float> grad, double tolerance) {
  ASSERT_TRUE(fixture.contains(key + ".samples")) << key;
  const auto samples = fixture.at(key + ".samples").f32();
  const auto summary = fixture.at(key + ".summary").f32();
  const std::size_t stride = std::max<std::size_t>(1, grad.size() / 512);
  ASSERT_EQ(samples.size(), (grad.size() + stride - 1) / stride) << key;
  std::vector<float> ours;
  for (std::size_t i = 0; i < grad.size(); i += stride) ours.push_back(grad[i]);
  double square = 0.0, sum = 0.0;
  for (std::size_t i = 0; i < grad.size(); ++i) {
    square += static_cast<double>(grad[i]) * grad[i];
    sum += static_cast<double>(grad[i]) * hashed(1 + i);
  }
  EXPECT_LT(relative_error(ours, samples), tolerance) << key;
  EXPECT_NEAR(std::sqrt(square), summary[0], tolerance * summary[0] + 1e-6) << key;
  EXPECT_NEAR(sum, summary[1], tolerance * summary[0] + 1e-6) << key;  // at most the norm of the error times that of the weights
}

struct ParityCase {
  std::string tag;
  NetworkSpec spec;
  LossKind loss;
  std::int64_t outputs;
  double tolerance;  ///< float32 sums in another order: about 1e-6 a layer; 20 layers and batch norm over 16 values for resnet18
};
void PrintTo(const ParityCase& c, std::ostream* out) { *out << c.tag; }

NetworkSpec mlp_spec() { return {"mlp", {{"hidden", std::vector<std::int64_t>{8, 6}}, {"activation", std::string("gelu")}}, {}}; }

std::vector<ParityCase> parity_cases() {
  return {{"mlp", mlp_spec(), LossKind::kCrossEntropy, 3, 2e-6},
          {"xray_cnn", {"xray_cnn", {{"width", std::int64_t{4}}, {"dropout", 0.0}}, {}}, LossKind::kBinaryCrossEntropy, 1, 2e-5},
          {"resnet18",
           {"resnet18", {{"width", std::int64_t{8}}, {"norm", std::string("batch")}}, {}},
           LossKind::kBinaryCrossEntropy,
           1,
           5e-4}};
}

class TorchParity : public ::testing::TestWithParam<std::tuple<ParityCase, Backend>> {};

TEST_P(TorchParity, LogitsLossStatisticsAndEveryGradientAgree) {
  const auto& [c, backend] = GetParam();
  const Fixture fixture = read_fixture();
  const std::string tag = c.tag + "/";
  const Tensor& x = fixture.at(tag + "x");
  const Network network = build_network(c.spec, x.shape(), c.outputs);
  ParamStore params = network.make_params(1);
  fill(network, params);
  for (const ParamEntry& e : params.entries()) {
    const auto stored = fixture.find(tag + "weight/" + e.name);
    if (stored == fixture.end()) continue;
    // Weights in the file are those of the formula: the permutation of the generator is right.
    ASSERT_EQ(stored->second.shape(), e.shape) << e.name;
    ASSERT_TRUE(same_bits(stored->second.f32(), part(params.values(), e))) << e.name;
  }

  Context ctx(backend);
  Saved saved;
  const Tensor logits = network.forward(ctx, params, x.clone(), saved, {});
  EXPECT_LT(relative_error(logits.f32(), fixture.at(tag + "logits").f32()), c.tolerance);
  Tensor grad;
  const double loss = make_loss(c.loss)->evaluate(ctx, logits, integer_labels(fixture.at(tag + "labels")),
                                                  1.0 / static_cast<double>(x.shape()[0]), grad);
  const double want = fixture.at(tag + "loss").f32()[0];
  EXPECT_NEAR(loss, want, c.tolerance * want);
  grad = network.backward(ctx, params, saved, std::move(grad), InputGrad::kNeeded);
  expect_gradient(fixture, tag + "grad/x", grad.f32(), c.tolerance);
  std::size_t statistics = 0;
  for (const ParamEntry& e : params.entries()) {
    if (e.role == ParamRole::kTrained) {
      expect_gradient(fixture, tag + "grad/" + e.name, part(params.grads(), e), c.tolerance);
    } else {
      ++statistics;
      EXPECT_LT(relative_error(part(params.values(), e), fixture.at(tag + "statistic/" + e.name).f32()), c.tolerance) << e.name;
    }
  }
  EXPECT_EQ(statistics, c.tag == "resnet18" ? 40u : 0u);
}

INSTANTIATE_TEST_SUITE_P(Zoo, TorchParity,
                         ::testing::Combine(::testing::ValuesIn(parity_cases()),
                                            ::testing::Values(Backend::kReference, Backend::kOnednn)),
                         [](const auto& param_info) {
                           return std::get<0>(param_info.param).tag + "_" + std::string(name(std::get<1>(param_info.param)));
                         });

std::vector<double> training_losses(OptimizerSettings settings, double learning_rate) {
  const Fixture fixture = read_fixture();
  const Tensor& x = fixture.at("mlp/x");
  const Tensor labels = integer_labels(fixture.at("mlp/labels"));
  const Network network = build_network(mlp_spec(), x.shape(), 3);
  ParamStore params = network.make_params(1);
  fill(network, params);
  settings.clip_gradients = 0.5;
  const auto optimizer = make_optimizer(settings, params.trained());
  Context ctx(Backend::kReference);
  std::vector<double> losses;
  for (int step = 0; step < 6; ++step) {
    params.zero_grads(ctx);
    Saved saved;
    Tensor grad;
    const Tensor logits = network.forward(ctx, params, x.clone(), saved, {});
    losses.push_back(make_loss(LossKind::kCrossEntropy)->evaluate(ctx, logits, labels, 0.2, grad));
    network.backward(ctx, params, saved, std::move(grad), InputGrad::kNotNeeded);
    optimizer->step(ctx, params, learning_rate);
  }
  return losses;
}

void expect_losses(const std::vector<double>& losses, const std::string& key) {
  const Fixture fixture = read_fixture();
  const auto want = fixture.at(key).f32();
  ASSERT_EQ(losses.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(losses[i], want[i], 1e-5) << key << " step " << i;
  EXPECT_LT(losses.back(), losses.front() - 0.02) << "training moved";
}

TEST(TorchParity, FiveClippedStepsOfSgdGiveTheSameLosses) {
  OptimizerSettings s;
  s.kind = OptimizerKind::kSgd;
  s.weight_decay = 0.01;
  expect_losses(training_losses(s, 0.3), "train/sgd");
}

TEST(TorchParity, FiveClippedStepsOfAdamWGiveTheSameLosses) {
  OptimizerSettings s;
  s.weight_decay = 0.1;
  expect_losses(training_losses(s, 0.05), "train/adamw");
}

}  // namespace
}  // namespace sutura::testing
