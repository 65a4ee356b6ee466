// A network whose last layers run with its loss against layers and loss one after the other: our kernels under the host SIMT executor.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "models/layers/dropout.h"
#include "models/layers/flatten.h"
#include "models/layers/linear.h"
#include "models/layers/pool.h"
#include "tests/models/zoo_cases.h"
#include "tests/simt/executor.h"

namespace sutura::testing {
namespace {

int heads = 0, pools = 0;  // entries of the table called since counted()

const DeviceOps& counted() {
  static DeviceOps t = simt::table();
  heads = pools = 0;
  t.pooled_head = [](Context& ctx, HeadLoss loss, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& labels,
                     double scale, std::span<const double> class_weights, Tensor& logits, HeadGradients grads, LossSum& sum) {
    ++heads;
    simt::table().pooled_head(ctx, loss, x, weight, bias, labels, scale, class_weights, logits, grads, sum);
  };
  t.global_avg_pool_forward = [](Context& ctx, const Tensor& x, Tensor& y) {
    ++pools;
    simt::table().global_avg_pool_forward(ctx, x, y);
  };
  return t;
}
Context device(DType compute = DType::kFloat32) { return Context(Backend::kNative, counted(), compute); }

struct HeadCase {
  ZooCase net;
  std::vector<double> class_weights;
};
void PrintTo(const HeadCase& c, std::ostream* out) { *out << c.net.name; }

std::vector<HeadCase> cases() {
  using Int = std::int64_t;
  const auto zoo = [](std::string name, Options options) {
    NetworkSpec s;
    s.zoo = std::move(name);
    s.options = std::move(options);
    return s;
  };
  NetworkSpec list;
  list.layers = {{"conv1", "conv2d", {{"filters", Int{5}}, {"kernel", Int{3}}, {"pad", Int{1}}}},
                 {"pool1", "max_pool", {{"kernel", Int{2}}}},
                 {"pool", "global_avg_pool", {}},
                 {"out", "linear", {{"outputs", Int{-1}}, {"bias", std::string("false")}}}};
  return {
      {{"resnet18_group", zoo("resnet18", {{"width", Int{4}}}), {3, 8, 8, 2}, 4, LossKind::kCrossEntropy}, {1.0, 2.5, 0.5, 3.0}},
      {{"resnet18_batch",
        zoo("resnet18", {{"width", Int{4}}, {"norm", std::string("batch")}}),
        {4, 8, 8, 1},
        1,
        LossKind::kBinaryCrossEntropy},
       {}},
      {{"xray_cnn", zoo("xray_cnn", {{"width", Int{4}}, {"dropout", 0.0}}), {3, 8, 8, 1}, 1, LossKind::kBinaryCrossEntropy},
       {1.0, 3.0}},
      {{"ecg_cnn1d",
        zoo("ecg_cnn1d", {{"width", Int{4}}, {"kernel", Int{5}}, {"dropout", 0.0}}),
        {4, 1, 16, 1},
        5,
        LossKind::kCrossEntropy},
       {}},
      {{"no_bias", list, {5, 8, 8, 1}, 3, LossKind::kCrossEntropy}, {}},
  };
}

/// A training step's values, on the host.
struct Result {
  LossSum::Value loss;
  Tensor grad_x, grads, values;
};

constexpr double kScale = 0.25;

Result step(Context& ctx, const Network& network, ParamStore& params, const HeadCase& c, const Tensor& x, const Tensor& labels,
            Head head) {
  const auto loss = make_loss(c.net.loss, c.class_weights);
  Saved saved;
  Pass pass;
  pass.head = head;
  LossSum sum(ctx);
  Tensor grad;
  params.zero_grads(ctx);
  const Tensor there = ctx.here(labels.clone());
  {
    const Tensor y = network.forward(ctx, params, ctx.clone(x), saved, pass);
    if (head == Head::kWithLoss)
      grad = network.head_loss(ctx, params, *loss, y, there, kScale, sum);
    else
      loss->evaluate_into(ctx, y, there, kScale, grad, sum);
  }
  Result r;
  r.grad_x = ctx.host(network.backward(ctx, params, saved, std::move(grad), InputGrad::kNeeded)).clone();
  r.loss = sum.read(ctx);
  r.grads = params.grads().clone();
  r.values = params.values().clone();
  return r;
}

Tensor widened(const Tensor& t) {
  if (t.dtype() == DType::kFloat32) return t.clone();
  Tensor wide(t.shape());
  std::ranges::transform(t.as<bf16>(), wide.f32().begin(), [](bf16 v) { return to_float(v); });
  return wide;
}
double apart(const Tensor& a, const Tensor& b) { return relative_error(widened(a).f32(), widened(b).f32()); }

class WithLoss : public ::testing::TestWithParam<std::tuple<HeadCase, DType>> {
 protected:
  const HeadCase& c() const { return std::get<0>(GetParam()); }
  bool half() const { return std::get<1>(GetParam()) == DType::kBfloat16; }
  Result run(Context& context, const Network& net, Head head) const {
    ParamStore params = net.make_params(3);
    return step(context, net, params, c(), inputs_of(c().net), labels_of(c().net), head);
  }
  Network network = build(c().net);
  Context ctx = device(std::get<1>(GetParam()));
};
INSTANTIATE_TEST_SUITE_P(Networks, WithLoss,
                         ::testing::Combine(::testing::ValuesIn(cases()), ::testing::Values(DType::kFloat32, DType::kBfloat16)),
                         [](const auto& i) {
                           return std::get<0>(i.param).net.name + (std::get<1>(i.param) == DType::kFloat32 ? "_f32" : "_bf16");
                         });

// Up to the head both ways run the same kernels. float32: in the head sums of at most 64 values and 32 products in another order:
// sqrt(64 + 32) 2^-24 = 6e-7 of a logit's terms. What backward begins with is p - y, at random weights at least a tenth of p: 6e-6 of
// it. Backward is linear in that, with the same masks, and its own roundings are 2^-24 each: 20 layers of sums of 300, 5e-6.
constexpr double kExact = 1.2e-5;
// bfloat16, u = 2^-9: layers round pooled values, weights, logits and their gradient, the head nothing. Terms of a logit that move by
// sqrt(2) u and a logit of at most 2 that is rounded itself move it by at most 2.5 u, and a record's loss, of slope below 1 and weight
// below 3, by as much: 4 records times the scale, 0.015. Of p - y, a tenth or more, that is up to 0.05, and on the way back each of up
// to 20 layers rounds differing values twice in each run: sqrt(80) u = 0.018.
constexpr double kHalfLoss = 0.015, kHalfGradient = 0.07;

TEST_P(WithLoss, AStepIsThatOfLayersAndLossOneByOne) {
  const Result with_loss = run(ctx, network, Head::kWithLoss), plain = run(ctx, network, Head::kWithNetwork);
  ASSERT_TRUE(with_loss.loss.sound() && plain.loss.sound());
  EXPECT_GT(plain.loss.loss, 0.1);
  EXPECT_NEAR(with_loss.loss.loss, plain.loss.loss, half() ? kHalfLoss : kExact);
  EXPECT_TRUE(std::ranges::any_of(widened(with_loss.grad_x).f32(), [](float v) { return v != 0.0f; }));
  const double tolerance = half() ? kHalfGradient : kExact;
  EXPECT_LE(apart(with_loss.grad_x, plain.grad_x), tolerance);
  const ParamStore names = network.make_params(3);
  for (const ParamEntry& e : names.entries())
    if (e.role == ParamRole::kTrained) {
      EXPECT_LE(relative_error(part(with_loss.grads, e), part(plain.grads, e)), tolerance) << e.name;
    }
  EXPECT_TRUE(same_bytes(with_loss.values, plain.values)) << "running statistics";
  if (half()) return;
  Context cpu(Backend::kReference);
  const Result reference = run(cpu, network, Head::kWithNetwork);
  // Every backend adds in its own order: up to 2e3 terms a sum, 45 2^-24 = 2.7e-6, in twenty layers there and back, independent.
  EXPECT_NEAR(with_loss.loss.loss, reference.loss.loss, 2e-5);
  EXPECT_LE(apart(with_loss.grad_x, reference.grad_x), 2e-5);
  EXPECT_LE(apart(with_loss.grads, reference.grads), 2e-5);
}

TEST_P(WithLoss, TwoKernelsReplaceLayersAndLoss) {
  const auto ran = [&](Head head) {
    const std::int64_t before = simt::launches();
    run(ctx, network, head);
    return simt::launches() - before;
  };
  counted();
  const std::int64_t with_loss = ran(Head::kWithLoss);
  EXPECT_EQ(heads, 1);
  EXPECT_EQ(pools, 0);
  const std::int64_t plain = ran(Head::kWithNetwork);
  EXPECT_EQ(heads, 1);
  EXPECT_EQ(pools, 1);
  // Pool, product and loss, and back: gradients of the product's data and weights, of the pool. At least six kernels.
  EXPECT_LE(with_loss + 4, plain);
}

TEST_P(WithLoss, ACutBeforeTheHeadLeavesItASegmentOfItsOwn) {
  const std::string last = network.layer_names()[network.size() - 3];
  const std::vector<Network> segments = build(c().net).cut_after({last});
  const Network& tail = segments[1];
  ASSERT_EQ(tail.size(), 2u);
  ParamStore front_params = segments[0].make_params(3), tail_params = tail.make_params(3);
  Saved front_saved, tail_saved;
  Pass pass;
  const Tensor between = segments[0].forward(ctx, front_params, ctx.clone(inputs_of(c().net)), front_saved, pass);
  pass.head = Head::kWithLoss;
  LossSum sum(ctx);
  const auto loss = make_loss(c().net.loss, c().class_weights);
  const Tensor features = tail.forward(ctx, tail_params, Tensor::borrow(between), tail_saved, pass);
  Tensor grad = tail.head_loss(ctx, tail_params, *loss, features, ctx.here(labels_of(c().net)), kScale, sum);
  grad = tail.backward(ctx, tail_params, tail_saved, std::move(grad), InputGrad::kNeeded);
  const Tensor grad_x = ctx.host(segments[0].backward(ctx, front_params, front_saved, std::move(grad), InputGrad::kNeeded));
  // The same kernels on the same values.
  const Result whole = run(ctx, network, Head::kWithLoss);
  EXPECT_EQ(sum.read(ctx).loss, whole.loss.loss);
  EXPECT_TRUE(same_bytes(grad_x, whole.grad_x));

  // Nothing below the head is trained and nobody wants more.
  tail_params.zero_grads(ctx);
  const Tensor again = tail.forward(ctx, tail_params, Tensor::borrow(between), tail_saved, pass);
  grad = tail.head_loss(ctx, tail_params, *loss, again, ctx.here(labels_of(c().net)), kScale, sum);
  EXPECT_FALSE(tail.backward(ctx, tail_params, tail_saved, std::move(grad), InputGrad::kNotNeeded).defined());
  const std::span<const float> whole_grads = whole.grads.f32();
  EXPECT_TRUE(same_bits(tail_params.grads().f32(), whole_grads.last(tail_params.grads().f32().size())));
}

TEST_P(WithLoss, ABadLabelIsCountedAndLeavesTheHeadsGradientsAlone) {
  Tensor labels = labels_of(c().net);
  labels.as<std::int32_t>()[1] = 7;
  ParamStore params = network.make_params(3);
  const Result r = step(ctx, network, params, c(), inputs_of(c().net), labels, Head::kWithLoss);
  EXPECT_EQ(r.loss.bad_labels, 1.0);
  EXPECT_EQ(r.loss.loss, 0.0);
  for (const ParamEntry& e : params.entries())
    if (e.name.starts_with("out.")) {
      EXPECT_TRUE(std::ranges::all_of(part(r.grads, e), [](float v) { return v == 0.0f; })) << e.name;
    }
}

TEST_P(WithLoss, AnInfiniteInputShowsInTheSum) {
  Tensor x = inputs_of(c().net);
  x.f32()[0] = INFINITY;
  ParamStore params = network.make_params(3);
  const Result r = step(ctx, network, params, c(), x, labels_of(c().net), Head::kWithLoss);
  EXPECT_FALSE(r.loss.sound());
  EXPECT_EQ(r.loss.bad_labels, 0.0);
}

Errc code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.code();
  }
  ADD_FAILURE() << "nothing was refused";
  return Errc::kConfig;
}

TEST_P(WithLoss, StepsThatDoNotGoTogetherAreRefused) {
  ParamStore params = network.make_params(3);
  const auto loss = make_loss(c().net.loss, c().class_weights);
  const Tensor x = ctx.here(inputs_of(c().net)), labels = ctx.here(labels_of(c().net));
  Context cpu(Backend::kReference);
  Saved saved;
  LossSum sum(ctx);
  Pass pass;
  pass.head = Head::kWithLoss;
  // Outputs' gradient instead of the features'; none at all; twice.
  const Tensor logits = ctx.here(Tensor::zeros({c().net.input[0], c().net.outputs}));
  network.forward(ctx, params, Tensor::borrow(x), saved, pass);
  EXPECT_EQ(code_of([&] { network.backward(ctx, params, saved, ctx.clone(logits), InputGrad::kNeeded); }), Errc::kInternal);
  EXPECT_EQ(code_of([&] { network.backward(ctx, params, saved, {}, InputGrad::kNeeded); }), Errc::kInternal);
  const Tensor features = network.forward(ctx, params, Tensor::borrow(x), saved, pass);
  const Tensor grad = network.head_loss(ctx, params, *loss, features, labels, kScale, sum);
  network.backward(ctx, params, saved, ctx.clone(grad), InputGrad::kNeeded);
  EXPECT_EQ(code_of([&] { network.backward(ctx, params, saved, ctx.clone(grad), InputGrad::kNeeded); }), Errc::kInternal);
  // Where there is no such head.
  const auto squares = make_loss(LossKind::kMeanSquaredError);
  EXPECT_EQ(code_of([&] { network.head_loss(ctx, params, *squares, features, labels, kScale, sum); }), Errc::kInternal);
  EXPECT_EQ(code_of([&] { network.forward(cpu, params, inputs_of(c().net), saved, pass); }), Errc::kInternal);
  pass.fusion = Fusion::kOff;
  EXPECT_EQ(code_of([&] { network.forward(ctx, params, Tensor::borrow(x), saved, pass); }), Errc::kInternal);
  pass = {Mode::kEvaluate};
  pass.head = Head::kWithLoss;
  EXPECT_EQ(code_of([&] { network.forward(ctx, params, Tensor::borrow(x), saved, pass); }), Errc::kInternal);
  EXPECT_TRUE(network.joins_loss(ctx, *loss, Fusion::kOn));
  EXPECT_FALSE(network.joins_loss(ctx, *loss, Fusion::kOff));
  EXPECT_FALSE(network.joins_loss(cpu, *loss, Fusion::kOn));
  EXPECT_FALSE(network.joins_loss(ctx, *squares, Fusion::kOn));
}

template <class... Layers>
std::size_t begin_of(Layers... layer) {
  std::vector<LayerPtr> all;
  (all.push_back(std::make_unique<Layers>(std::move(layer))), ...);
  std::vector<const Layer*> row;
  for (const LayerPtr& l : all) row.push_back(l.get());
  return head_begin(row);
}

TEST(HeadBegin, IsAtPoolAndLinearLayerThatEndTheNetwork) {
  const auto linear = [](std::int64_t inputs, std::int64_t outputs) { return Linear(inputs, outputs); };
  EXPECT_EQ(begin_of(), 0u);
  EXPECT_EQ(begin_of(linear(4, 2)), 1u);
  EXPECT_EQ(begin_of(GlobalAvgPool()), 1u);
  EXPECT_EQ(begin_of(GlobalAvgPool(), linear(4, 2)), 0u);
  EXPECT_EQ(begin_of(Flatten(), GlobalAvgPool(), linear(4, 2)), 1u);
  EXPECT_EQ(begin_of(GlobalAvgPool(), linear(2048, 64)), 0u);
  EXPECT_EQ(begin_of(GlobalAvgPool(), linear(2049, 64)), 2u);
  EXPECT_EQ(begin_of(GlobalAvgPool(), linear(2048, 65)), 2u);
  EXPECT_EQ(begin_of(GlobalAvgPool(), Dropout(0.5f), linear(4, 2)), 3u);
  EXPECT_EQ(begin_of(GlobalAvgPool(), linear(4, 2), Flatten()), 3u);
}

}  // namespace
}  // namespace sutura::testing
