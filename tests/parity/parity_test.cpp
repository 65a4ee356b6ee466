// Against PyTorch, tensor by tensor, on every backend: tests/fixtures/torch_parity.bin, written by scripts/make_parity with torch
// 1.13, which also says where the tolerances come from.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/ops/cast/cast.h"
#include "models/losses/loss.h"
#include "models/optimizers/optimizer.h"
#include "models/registry.h"
#include "tests/ops/operation.h"
#include "tests/simt/executor.h"
#include "tests/support/tensor_file.h"

namespace sutura::testing {
namespace {

constexpr std::size_t kSamples = 256;  // of scripts/make_parity, as are the next two
constexpr double kFloor = 1e-3;
constexpr float kBias = 3.0f;

const TensorFile& fixture() {
  static const TensorFile file(std::string(SUTURA_SOURCE_DIR) + "/tests/fixtures/torch_parity.bin");
  return file;
}

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
      const bool of_norm = name.find("norm") != std::string::npos;
      for (std::int64_t i = 0; i < spec.shape.elements(); ++i) {
        double v = hashed(next++);
        if (spec.role == ParamRole::kStatistic) continue;
        if (spec.shape.rank() == 4)
          v = v / std::sqrt(static_cast<double>(spec.shape.row_elements()));
        else if (spec.shape.rank() == 2)
          v = v * (1.0 / std::sqrt(static_cast<double>(spec.shape[1])));
        else
          v = v * 0.1;
        if (of_norm) v += name.ends_with("weight") ? 1.0 : i % 4 == 3 ? -kBias : kBias;
        params.values().f32()[static_cast<std::size_t>(e->offset + i)] = static_cast<float>(v);
      }
    }
  }
}

struct Case {
  std::string tag;
  NetworkSpec spec;
  Shape whole_input;  ///< of the network before the cut
  std::string cut;    ///< empty: the whole network
  LossKind loss;
  std::int64_t outputs;
  OptimizerKind optimizer;
  double learning_rate;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.tag; }

std::vector<Case> cases() {
  using Int = std::int64_t;
  const NetworkSpec mlp{"mlp", {{"hidden", std::vector<Int>{8, 6}}, {"activation", std::string("gelu")}}, {}};
  const NetworkSpec xray{"xray_cnn", {{"width", Int{4}}, {"dropout", 0.0}}, {}};
  const NetworkSpec ecg{"ecg_cnn1d", {{"width", Int{4}}, {"kernel", Int{5}}, {"dropout", 0.0}}, {}};
  const auto resnet = [](const char* norm) { return NetworkSpec{"resnet18", {{"width", Int{8}}, {"norm", std::string(norm)}}, {}}; };
  const auto ce = LossKind::kCrossEntropy, bce = LossKind::kBinaryCrossEntropy;
  const auto sgd = OptimizerKind::kSgd, adamw = OptimizerKind::kAdamW;
  const Shape picture{4, 16, 16, 1};
  return {{"mlp_sgd", mlp, {5, 7}, "", ce, 3, sgd, 0.3},
          {"mlp_adamw", mlp, {5, 7}, "", ce, 3, adamw, 0.05},
          {"xray_cnn", xray, {4, 12, 10, 1}, "", bce, 1, sgd, 0.02},
          {"ecg_cnn1d", ecg, {4, 1, 40, 1}, "", ce, 5, sgd, 0.05},
          {"resnet18_whole", resnet("batch"), picture, "", bce, 1, sgd, 0.02},
          {"resnet18_tail_group", resnet("group"), picture, "stage1.1", bce, 1, sgd, 0.02},
          {"resnet18_tail_batch", resnet("batch"), picture, "stage1.1", bce, 1, adamw, 0.003}};
}

std::vector<Variant> variants() {
  std::vector<Variant> all{{Backend::kReference, DType::kFloat32}, {Backend::kOnednn, DType::kFloat32}, {Backend::kOnednn, DType::kBfloat16}};
  const auto append = [&](Backend backend, const DeviceOps* device) {
    all.push_back({backend, DType::kFloat32, Math::kIeee, device});
    all.push_back({backend, DType::kFloat32, Math::kTf32, device});
    all.push_back({backend, DType::kBfloat16, Math::kIeee, device});
  };
  append(Backend::kNative, &simt::table());
  append(Backend::kNative, nullptr);
  append(Backend::kCudnn, nullptr);
  return all;
}

Tensor in_compute_type(Context& ctx, Tensor t) { return t.dtype() == ctx.compute() ? std::move(t) : cast(ctx, t, ctx.compute()); }

/// A network of the fixture with its weights, on one backend.
class Parity : public ::testing::TestWithParam<std::tuple<Case, Variant>> {
 protected:
  void SetUp() override {
    ctx_ = make_context(variant());
    if (!ctx_) GTEST_SKIP();
    network_ = build_network(of().spec, of().whole_input, of().outputs);
    if (!of().cut.empty()) network_ = std::move(std::move(network_).cut_after({of().cut})[1]);
    params_ = network_.make_params(1);
    fill(network_, params_);
  }
  const Case& of() const { return std::get<0>(GetParam()); }
  const Variant& variant() const { return std::get<1>(GetParam()); }
  /// Row of the fixture's tolerances: f32, tf32, bf16.
  std::size_t precision() const { return variant().compute == DType::kBfloat16 ? 2 : variant().math == Math::kTf32 ? 1 : 0; }
  const Tensor& stored(const std::string& key) const { return fixture().at(of().tag + "/" + key); }
  Tensor input() const { return ctx_->clone(stored("x")); }
  Tensor labels() const { return ctx_->clone(stored("labels")); }
  double scale() const { return 1.0 / static_cast<double>(stored("x").shape()[0]); }

  /// Samples, norm and weighted sum of `got`, wherever it lies.
  void expect(const std::string& key, const Tensor& got) { expect(key, to_doubles(ctx_->host(Tensor::borrow(got)))); }
  void expect(const std::string& key, const std::vector<double>& got) {
    const auto samples = stored(key).f32(), summary = stored(key + ".summary").f32();
    const double tolerance = summary[2 + precision()];
    const std::size_t stride = std::max<std::size_t>(1, got.size() / kSamples);
    ASSERT_EQ(samples.size(), (got.size() + stride - 1) / stride) << key;
    double off = 0.0, kept = 0.0, square = 0.0, sum = 0.0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      square += got[i] * got[i];
      sum += got[i] * hashed(1 + i);
      if (i % stride != 0) continue;
      const double want = samples[i / stride];
      off += (got[i] - want) * (got[i] - want);
      kept += want * want;
    }
    const double norm = std::max<double>(summary[0], kFloor);
    EXPECT_LE(std::sqrt(off) / std::max(std::sqrt(kept), kFloor), tolerance) << key;
    EXPECT_LE(std::abs(std::sqrt(square) - summary[0]) / norm, tolerance) << key << ": norm";
    EXPECT_LE(std::abs(sum - summary[1]) / norm, tolerance) << key << ": weighted sum";
    ++compared_;
  }
  static std::vector<double> part(const Tensor& flat, const ParamEntry& e) {
    const auto values = flat.f32().subspan(static_cast<std::size_t>(e.offset), static_cast<std::size_t>(e.shape.elements()));
    return {values.begin(), values.end()};
  }

  std::optional<Context> ctx_;
  Network network_;
  ParamStore params_;
  int compared_ = 0;
};

TEST_P(Parity, EveryActivationAndEveryGradientAgree) {
  Context& ctx = *ctx_;
  Tensor x = in_compute_type(ctx, input());
  std::vector<Saved> saved(network_.size());
  for (std::size_t i = 0; i < network_.size(); ++i) {
    x = network_.layer(i).forward(ctx, params_.view(ctx, i), std::move(x), saved[i], {});
    expect("y/" + network_.layer(i).name(), x);
  }
  Tensor grad;
  expect("loss", {make_loss(of().loss)->evaluate(ctx, x, labels(), scale(), grad)});
  grad = in_compute_type(ctx, std::move(grad));
  for (std::size_t i = network_.size(); i-- > 0;) {
    expect("dy/" + network_.layer(i).name(), grad);
    grad = network_.layer(i).backward(ctx, params_.view(ctx, i), saved[i], std::move(grad), InputGrad::kNeeded);
  }
  expect("dx", grad);
  for (const ParamEntry& e : params_.entries()) {
    const bool trained = e.role == ParamRole::kTrained;
    expect((trained ? "grad/" : "statistic/") + e.name, part(trained ? params_.grads() : params_.values(), e));
  }
  EXPECT_EQ(compared_, static_cast<int>(2 * network_.size() + 2 + params_.entries().size()));
}

TEST_P(Parity, TenTrainingStepsGiveTheSameLosses) {
  OptimizerSettings settings;
  settings.kind = of().optimizer;
  settings.weight_decay = settings.kind == OptimizerKind::kSgd ? 0.01 : 0.1;
  settings.clip_gradients = 0.5;
  const auto optimizer = make_optimizer(settings, params_.trained());
  const auto loss = make_loss(of().loss);
  const Tensor labels = this->labels();
  const Tensor &want = stored("losses"), &tolerances = stored("losses.tolerances");  // [steps]; [precision, steps]
  const auto steps = static_cast<std::size_t>(want.elements());
  ASSERT_EQ(steps, 10u);
  for (std::size_t step = 0; step < steps; ++step) {
    params_.zero_grads(*ctx_);
    Saved saved;
    Tensor grad;
    const Tensor y = network_.forward(*ctx_, params_, input(), saved, {});
    const double got = loss->evaluate(*ctx_, y, labels, scale(), grad);
    EXPECT_NEAR(got, want.f32()[step], tolerances.f32()[precision() * steps + step] + 1e-7) << "step " << step;
    network_.backward(*ctx_, params_, saved, std::move(grad), InputGrad::kNotNeeded);
    optimizer->step(*ctx_, params_, of().learning_rate);
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, Parity, ::testing::Combine(::testing::ValuesIn(cases()), ::testing::ValuesIn(variants())),
                         [](const auto& i) { return std::get<0>(i.param).tag + "_" + text(std::get<1>(i.param)); });

}  // namespace
}  // namespace sutura::testing
