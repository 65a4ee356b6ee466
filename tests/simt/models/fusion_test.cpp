// Layers that share a kernel on a device against the same layers one by one: our kernels under the host SIMT executor.
#include "models/fusion.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "kernels/device_stream.h"
#include "kernels/ops/dropout/dropout.h"
#include "models/draw_words.h"
#include "models/layers/activation.h"
#include "models/layers/conv.h"
#include "models/layers/linear.h"
#include "models/layers/norm.h"
#include "models/layers/residual.h"
#include "tests/models/zoo_cases.h"
#include "tests/simt/executor.h"

namespace sutura::testing {
namespace {

/// How often an entry of the table was called; convolutions that also took statistics.
template <auto entry>
int calls = 0;
int statistics_taken = 0;

template <auto entry, class... Arguments>
void count_call(Arguments... arguments) {
  ++calls<entry>;
  (simt::table().*entry)(arguments...);
}

/// The native table with some entries counted, from now on.
const DeviceOps& counted() {
  static DeviceOps t = simt::table();
  const auto count = [&]<auto entry>() {
    calls<entry> = 0;
    t.*entry = count_call<entry>;
  };
  count.operator()<&DeviceOps::relu_forward>();
  count.operator()<&DeviceOps::relu_backward>();
  count.operator()<&DeviceOps::add>();
  count.operator()<&DeviceOps::linear_forward>();
  count.operator()<&DeviceOps::linear_forward_fused>();
  count.operator()<&DeviceOps::mlp_forward>();
  count.operator()<&DeviceOps::mlp_backward>();
  statistics_taken = 0;
  t.conv2d_forward_fused = [](Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Conv2dEpilogue& e,
                              Tensor& y) {
    statistics_taken += e.statistics != nullptr ? 1 : 0;
    simt::table().conv2d_forward_fused(ctx, spec, x, weight, e, y);
  };
  return t;
}
Context device(DType compute = DType::kFloat32) { return Context(Backend::kNative, counted(), compute); }

/// A training step's tensors, on the host.
struct Result {
  Tensor y, grad_x, grads, values;
};

Result step(Context& ctx, const Network& network, ParamStore& params, const Tensor& x, Fusion fusion) {
  Saved saved;
  Pass pass;
  pass.fusion = fusion;
  params.zero_grads(ctx);
  Result r;
  const Tensor y = network.forward(ctx, params, ctx.clone(x), saved, pass);
  r.grad_x = ctx.host(network.backward(ctx, params, saved, ctx.clone(random_values(y.shape(), "grad")), InputGrad::kNeeded));
  r.y = ctx.host(Tensor::borrow(y)).clone();  // after backward: it must not lie in what backward has let go of
  r.grads = params.grads().clone();
  r.values = params.values().clone();
  return r;
}

Tensor widened(const Tensor& t) {
  Tensor wide(t.shape());
  for (std::int64_t i = 0; i < t.elements(); ++i)
    wide.f32()[static_cast<std::size_t>(i)] = t.dtype() == DType::kBfloat16
                                                  ? to_float(t.as<bf16>()[static_cast<std::size_t>(i)])
                                                  : t.f32()[static_cast<std::size_t>(i)];
  return wide;
}
double apart(const Tensor& a, const Tensor& b) { return relative_error(widened(a).f32(), widened(b).f32()); }

std::vector<ZooCase> cases() {
  std::vector<ZooCase> all = zoo_cases();
  NetworkSpec narrow, pictures;
  narrow.zoo = "mlp";
  narrow.options = {{"hidden", std::vector<std::int64_t>{12, 9, 10}}};
  all.push_back({"mlp_chain", narrow, {21, 7}, 3, LossKind::kCrossEntropy});
  // No layer between convolution and ReLU, and a linear layer too wide for a chain.
  pictures.layers = {{"conv1", "conv2d", {{"filters", std::int64_t{5}}, {"kernel", std::int64_t{3}}, {"pad", std::int64_t{1}}}},
                     {"act1", "relu", {}},
                     {"flat", "flatten", {}},
                     {"fc1", "linear", {{"outputs", std::int64_t{6}}}},
                     {"act2", "relu", {}},
                     {"out", "linear", {{"outputs", std::int64_t{-1}}}}};
  all.push_back({"plain_cnn", pictures, {3, 8, 8, 1}, 2, LossKind::kCrossEntropy});
  return all;
}

class Fused : public ::testing::TestWithParam<std::tuple<ZooCase, DType>> {
 protected:
  const ZooCase& of() const { return std::get<0>(GetParam()); }
  bool half() const { return std::get<1>(GetParam()) == DType::kBfloat16; }
  bool residual() const { return of().name.starts_with("resnet") || of().name == "layer_list"; }
  Network network = build(of());
  Context ctx = device(std::get<1>(GetParam()));
};
INSTANTIATE_TEST_SUITE_P(Zoo, Fused,
                         ::testing::Combine(::testing::ValuesIn(cases()), ::testing::Values(DType::kFloat32, DType::kBfloat16)),
                         [](const auto& i) {
                           return std::get<0>(i.param).name + (std::get<1>(i.param) == DType::kFloat32 ? "_f32" : "_bf16");
                         });

// float32: batch norms take their variance from the convolution's sums, with a relative error of 2^-22 (1 + mean^2 / variance)
// (batch_norm.h), in rstd half of it; with mean^2 / variance up to 4 and at most 20 norms, independent, that is
// sqrt(20) 2^-23 5 = 2.7e-6 in y, and as much again on the way back. A linear chain's products are summed in another order: at
// most 256 terms, 16 2^-24 = 1e-6. Everything else has the bits of the layers one by one.
constexpr double kExact = 1e-5;

// bfloat16: where a residual sum is fused it is rounded once instead of twice, u = 2^-9 each. An activation behind l layers with two
// roundings each (product, norm) is off by about sqrt(2 l) u of its size; y moves by that: for 17 layers sqrt(34) u, times 4 for
// terms that cancel in the last product. A ReLU's mask flips where its argument, about normal, is that close to 0: a share of
// 0.8 sqrt(2 l) u, and each flip changes a gradient by all of it. Both runs flip on their own (sqrt 2); over L = 17 masks the
// squares add up to sqrt(2) 0.8 u sum sqrt(2 l) = 0.8 u 2 (2/3) 17^1.5 = 0.146 of the gradient's, the root of which is 0.38.
constexpr double kHalfValue = 0.046, kHalfGradient = 0.38;

TEST_P(Fused, ATrainingStepIsThatOfTheLayersOneByOne) {
  ParamStore a = network.make_params(3), b = network.make_params(3);
  const Result fused = step(ctx, network, a, inputs_of(of()), Fusion::kOn);
  const Result plain = step(ctx, network, b, inputs_of(of()), Fusion::kOff);
  EXPECT_TRUE(std::ranges::any_of(widened(fused.grad_x).f32(), [](float v) { return v != 0.0f; }));
  const bool sums_twice = residual() && half();
  EXPECT_LE(apart(fused.y, plain.y), sums_twice ? kHalfValue : kExact);
  EXPECT_LE(apart(fused.grad_x, plain.grad_x), sums_twice ? kHalfGradient : kExact);
  EXPECT_LE(apart(fused.grads, plain.grads), sums_twice ? kHalfGradient : kExact);
  // Statistics: what they are taken of has y's error.
  EXPECT_LE(apart(fused.values, plain.values), sums_twice ? kHalfValue : kExact);
  if (half()) return;
  // Every backend adds in its own order: up to 2e3 terms a sum, 45 2^-24 = 2.7e-6, in twenty layers there and back, independent.
  ParamStore c = network.make_params(3);
  Context cpu(Backend::kReference);
  const Result reference = step(cpu, network, c, inputs_of(of()), Fusion::kOn);
  EXPECT_LE(apart(fused.y, reference.y), 2e-5);
  EXPECT_LE(apart(fused.grads, reference.grads), 2e-5);
}

TEST_P(Fused, RunsTheKernelsThatThePlanNames) {
  ParamStore params = network.make_params(3);
  std::vector<const Layer*> layers;
  for (std::size_t i = 0; i < network.size(); ++i) layers.push_back(&network.layer(i));
  int mlps = 0, relus = 0, fused_relus = 0, blocks = 0;
  for (const LayerRun& r : plan_runs(layers)) {
    mlps += r.kind == RunKind::kMlp;
    fused_relus += r.kind == RunKind::kNormRelu || r.kind == RunKind::kProductRelu;
    relus += r.kind == RunKind::kLayer && dynamic_cast<const Relu*>(layers[r.begin]) != nullptr;
    blocks += dynamic_cast<const Residual*>(layers[r.begin]) != nullptr;
  }
  step(ctx, network, params, inputs_of(of()), Fusion::kOn);
  EXPECT_EQ(relus, 0) << "every ReLU of these networks stands behind a layer that takes it";
  EXPECT_GT(mlps + fused_relus + blocks + (of().name == "mlp_gelu" ? 1 : 0), 0);
  EXPECT_EQ(calls<&DeviceOps::relu_forward>, 0);
  EXPECT_EQ(calls<&DeviceOps::mlp_forward>, mlps);
  EXPECT_EQ(calls<&DeviceOps::mlp_backward>, mlps);
  EXPECT_EQ(calls<&DeviceOps::add>, blocks) << "of gradients, on the way back";
  // 20 convolutions of the network, each before a batch norm.
  EXPECT_EQ(statistics_taken, of().name == "resnet18_batch" ? 20 : of().name == "layer_list" ? 1 : 0);
  counted();
  step(ctx, network, params, inputs_of(of()), Fusion::kOff);
  EXPECT_EQ(calls<&DeviceOps::mlp_forward> + statistics_taken, 0);
  EXPECT_EQ(calls<&DeviceOps::add>, 2 * blocks);
}

TEST_P(Fused, EvaluationKeepsNothingAndIsThatOfTheLayersOneByOne) {
  ParamStore params = network.make_params(3);
  Saved saved;
  Pass pass{Mode::kEvaluate};
  const Tensor fused = ctx.host(network.forward(ctx, params, ctx.clone(inputs_of(of())), saved, pass));
  for (const Saved& s : saved.children) EXPECT_TRUE(s.tensors.empty() && s.children.empty());
  pass.fusion = Fusion::kOff;
  const Tensor plain = ctx.host(network.forward(ctx, params, ctx.clone(inputs_of(of())), saved, pass));
  EXPECT_LE(apart(fused, plain), half() && residual() ? kHalfValue : kExact);
}

TEST_P(Fused, ACutBetweenLayersThatWouldShareAKernelChangesNothing) {
  ParamStore whole_params = network.make_params(3);
  const Result whole = step(ctx, network, whole_params, inputs_of(of()), Fusion::kOn);
  const std::vector<std::string> names = network.layer_names();
  for (std::size_t cut = 0; cut + 1 < names.size(); ++cut) {
    SCOPED_TRACE(names[cut]);
    const std::vector<Network> segments = build(of()).cut_after({names[cut]});
    ParamStore front = segments[0].make_params(3), tail = segments[1].make_params(3);
    Saved kept_front, kept_tail;
    const Tensor between = segments[0].forward(ctx, front, ctx.clone(inputs_of(of())), kept_front, {});
    const Tensor y = segments[1].forward(ctx, tail, Tensor::borrow(between), kept_tail, {});
    Tensor grad = segments[1].backward(ctx, tail, kept_tail, ctx.clone(random_values(y.shape(), "grad")), InputGrad::kNeeded);
    const Tensor grad_x = ctx.host(segments[0].backward(ctx, front, kept_front, std::move(grad), InputGrad::kNeeded));
    // Nothing is rounded elsewhere than in the whole network but a chain's sums and a batch norm's statistics: in bfloat16 a
    // float32's last bit may show as one u = 2^-8 of a few values.
    EXPECT_LE(apart(ctx.host(Tensor::borrow(y)), whole.y), half() ? 1.0 / 256 : kExact);
    EXPECT_LE(apart(grad_x, whole.grad_x), half() ? 1.0 / 32 : kExact);
  }
}

/// Words that are on the device before anything is recorded.
class KeptWords final : public DrawWords {
 public:
  Tensor words(Context& ctx, std::uint64_t seed, const std::string& stream, std::uint64_t index) override {
    const auto [at, is_new] = words_.try_emplace(stream);
    if (is_new) at->second = ctx.clone(dropout_words({seed, stream, index}));
    return Tensor::borrow(at->second);
  }

 private:
  std::map<std::string, Tensor> words_;
};

TEST_P(Fused, AReplayedStepIsTheSameBits) {
  KeptWords words;
  Pass pass;
  pass.draws = &words;
  ParamStore a = network.make_params(3), b = network.make_params(3);
  const Tensor x = ctx.clone(inputs_of(of())), grad = ctx.clone(random_values(network.output_shape(of().input), "grad"));
  const auto whole_step = [&](ParamStore& params) {
    Saved saved;
    params.zero_grads(ctx);
    network.forward(ctx, params, Tensor::borrow(x), saved, pass);
    network.backward(ctx, params, saved, ctx.clone(grad), InputGrad::kNotNeeded);
  };
  // Once each as it is, so that copies of parameters and shapes are there before the recording.
  whole_step(a);
  whole_step(b);
  for (int i = 0; i < 2; ++i) whole_step(a);
  const DeviceRuntime& r = ctx.stream().runtime();
  const Stream stream = ctx.stream().stream();
  const auto arena = ctx.stream().make_arena();
  b.refresh(ctx);
  ctx.stream().enter(arena.get());
  r.begin_capture(stream);
  whole_step(b);
  GraphExec* graph = r.end_capture(stream);
  ctx.stream().enter(nullptr);
  for (int i = 0; i < 2; ++i) r.replay(graph, stream);
  EXPECT_TRUE(same_bytes(a.grads(), b.grads()));
  EXPECT_TRUE(same_bytes(a.values(), b.values())) << "running statistics";
  r.destroy_graph(graph);
}

/// Kinds and lengths of a plan.
std::string text(const std::vector<LayerPtr>& layers) {
  std::vector<const Layer*> row;
  for (const LayerPtr& l : layers) row.push_back(l.get());
  std::string all;
  for (const LayerRun& r : plan_runs(row)) all += std::string("lpnm")[static_cast<std::size_t>(r.kind)] + std::to_string(r.end - r.begin) + " ";
  return all;
}
template <class... Layers>
std::string plan(Layers... layer) {
  std::vector<LayerPtr> all;
  (all.push_back(std::make_unique<Layers>(std::move(layer))), ...);
  return text(all);
}
Linear linear(std::int64_t inputs, std::int64_t outputs) { return {inputs, outputs}; }

TEST(Plan, TakesWhatStandsTogether) {
  const auto conv = [] { return Conv2d(2, 4, Conv2dSpec{3, 3, 1, 1, 1, 1}); };
  EXPECT_EQ(text({}), "");
  EXPECT_EQ(plan(conv(), Relu(), conv(), GroupNorm(2, 4), Relu(), Relu()), "p2 l1 n2 l1 ");
  EXPECT_EQ(plan(conv(), BatchNorm(4), LayerNorm(4), Relu(), Gelu()), "l1 l1 l1 l1 l1 ");
  EXPECT_EQ(plan(Relu(), linear(8, 256), Relu(), linear(256, 3)), "l1 m3 ");
  EXPECT_EQ(plan(linear(8, 4), Relu(), linear(4, 3), Relu()), "m3 l1 ");
  EXPECT_EQ(plan(linear(8, 257), Relu(), linear(257, 9), Relu(), linear(9, 3)), "p2 p2 l1 ");
  EXPECT_EQ(plan(linear(257, 9), Relu(), linear(9, 5), Relu(), linear(5, 3)), "p2 m3 ");
  EXPECT_EQ(plan(linear(8, 4), Relu()), "p2 ");
  EXPECT_EQ(plan(linear(8, 4), linear(4, 4)), "l1 l1 ");
  EXPECT_EQ(plan(linear(8, 4), Gelu(), linear(4, 4)), "l1 l1 l1 ");
}

TEST(Plan, AChainIsAtMostEightLayersLong) {
  std::vector<LayerPtr> layers;
  for (int i = 0; i < 9; ++i) {
    if (i > 0) layers.push_back(std::make_unique<Relu>());
    layers.push_back(std::make_unique<Linear>(4, 4));
  }
  EXPECT_EQ(text(layers), "m15 l1 l1 ");
}

}  // namespace
}  // namespace sutura::testing
