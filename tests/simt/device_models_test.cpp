// Parameters, optimizers and losses of models/ on a device: our kernels under the host SIMT executor.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/random/philox.h"
#include "executor.h"
#include "kernels/device_stream.h"
#include "models/losses/loss.h"
#include "models/optimizers/optimizer.h"

namespace sutura::testing {
namespace {

Context device(DType compute = DType::kFloat32) { return Context(Backend::kNative, simt::table(), compute); }

/// Weights of two layers with a norm between them, none of a length that is a multiple of 8, and one longer than a chunk.
ParamStore some_params() {
  return ParamStore({"conv", "norm", "fc"},
                    {{{"weight", {3, 1, 3, 5}, Init::kFanInUniform, 15}, {"bias", {3}, Init::kFanInUniform, 15}},
                     {{"gamma", {7}, Init::kOnes}, {"mean", {7}, Init::kZeros, 0, ParamRole::kStatistic}},
                     {{"weight", {61, 83}, Init::kFanInUniform, 83}, {"bias", {61}, Init::kFanInUniform, 83}}},
                    11);
}
void draw_grads(ParamStore& p, int step) {
  PhiloxStream random(4, "grads" + std::to_string(step));
  for (float& g : p.grads().f32()) g = static_cast<float>(random.next_normal());
}
bool same(const Tensor& a, const Tensor& b) { return std::ranges::equal(a.bytes(), b.bytes()); }

/// Every copy that view() hands out holds the rounded values; returns how many there are.
int check_copies(const ParamStore& p, Context& ctx) {
  int copies = 0;
  for (std::size_t layer = 0; layer < 3; ++layer) {
    const ParamView v = p.view(ctx, layer);
    for (const Tensor& values : v.values) {
      const bf16* half = Tensor::borrow(values).half();
      EXPECT_EQ(half != nullptr, ctx.compute() == DType::kBfloat16 && values.shape().rank() >= 2);
      if (half == nullptr) continue;
      ++copies;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(half) % 16, 0u);
      ctx.synchronise();
      const Tensor wide = ctx.host(Tensor::borrow(values));  // the executor's device memory is the host's: half may be read
      for (std::size_t i = 0; i < wide.f32().size(); ++i)
        if (half[i].bits != to_bf16(wide.f32()[i]).bits) {
          ADD_FAILURE() << "layer " << layer << " element " << i;
          break;
        }
    }
  }
  return copies;
}

class EachOptimizer : public ::testing::TestWithParam<std::tuple<OptimizerKind, DType>> {
 protected:
  OptimizerSettings settings() const {
    OptimizerSettings s;
    s.kind = std::get<0>(GetParam());
    s.weight_decay = 0.01;
    return s;
  }
  Context ctx = device(std::get<1>(GetParam()));
  Context cpu{Backend::kReference};
};
INSTANTIATE_TEST_SUITE_P(Kinds, EachOptimizer,
                         ::testing::Combine(::testing::Values(OptimizerKind::kSgd, OptimizerKind::kAdamW),
                                            ::testing::Values(DType::kFloat32, DType::kBfloat16)),
                         [](const auto& i) {
                           return std::string(std::get<0>(i.param) == OptimizerKind::kSgd ? "sgd_" : "adamw_") +
                                  (std::get<1>(i.param) == DType::kFloat32 ? "f32" : "bf16");
                         });

TEST_P(EachOptimizer, StepsToTheReferencesBitsAndKeepsTheCopies) {
  ParamStore here = some_params(), there = some_params();
  const auto a = make_optimizer(settings(), here.trained()), b = make_optimizer(settings(), there.trained());
  const int expected = ctx.compute() == DType::kBfloat16 ? 2 : 0;
  EXPECT_EQ(check_copies(here, ctx), expected);
  for (int step = 0; step < 3; ++step) {
    draw_grads(here, step);
    draw_grads(there, step);
    a->step(ctx, here, 0.1 / (step + 1));
    b->step(cpu, there, 0.1 / (step + 1));
    EXPECT_EQ(check_copies(here, ctx), expected);
  }
  EXPECT_TRUE(same(here.values(), there.values()));
  const auto states = a->state(), wanted = b->state();
  for (std::size_t i = 0; i < states.size(); ++i) EXPECT_TRUE(same(*states[i].second, *wanted[i].second)) << states[i].first;
  // The host writes: the copies follow at the next use.
  for (float& v : here.values().f32()) v *= 1.25f;
  EXPECT_EQ(check_copies(here, ctx), expected);
}

TEST_P(EachOptimizer, ClipsWithoutAWait) {
  ParamStore here = some_params(), there = some_params();
  OptimizerSettings s = settings();
  s.clip_gradients = 0.5;
  const auto a = make_optimizer(s, here.trained()), b = make_optimizer(s, there.trained());
  for (int step = 0; step < 2; ++step) {
    draw_grads(here, step);
    draw_grads(there, step);
    a->step(ctx, here, 0.1);
    b->step(cpu, there, 0.1);
  }
  // The norms' trees differ by 1e-13 of the norm, so a factor may round to the neighbouring float: 1.2e-7 of a step of 0.1, and
  // AdamW divides by a root: a few of them.
  for (std::size_t i = 0; i < here.values().f32().size(); ++i)
    EXPECT_NEAR(here.values().f32()[i], there.values().f32()[i], 1e-6 * 0.1 + 1e-6 * std::abs(there.values().f32()[i]));
}

TEST_P(EachOptimizer, ACapturedStepIsReplayedWithNewRates) {
  for (const double clip : {0.0, 0.5}) {
    OptimizerSettings s = settings();
    s.clip_gradients = clip;
    ParamStore eager = some_params(), replayed = some_params();
    const auto a = make_optimizer(s, eager.trained()), b = make_optimizer(s, replayed.trained());
    const DeviceRuntime& r = ctx.stream().runtime();
    const Stream stream = ctx.stream().stream();
    const auto arena = ctx.stream().make_arena();
    GraphExec* graph = nullptr;
    for (int step = 0; step < 4; ++step) {
      draw_grads(eager, step);
      draw_grads(replayed, step);
      if (step == 2) {  // as after an average
        eager.values().f32()[5] = 0.75f;
        replayed.values().f32()[5] = 0.75f;
      }
      const double rate = 0.1 / (step + 1);
      a->step(ctx, eager, rate);
      b->prepare(ctx, rate);
      replayed.refresh(ctx);
      b->refresh(ctx);
      if (graph == nullptr) {
        ctx.stream().enter(arena.get());
        r.begin_capture(stream);
        b->apply(ctx, replayed);
        graph = r.end_capture(stream);
        ctx.stream().enter(nullptr);
      }
      r.replay(graph, stream);
      EXPECT_TRUE(same(eager.values(), replayed.values())) << "step " << step;
      check_copies(replayed, ctx);
    }
    r.destroy_graph(graph);
  }
}

TEST_P(EachOptimizer, ALossThatIsNotFiniteChangesNothing) {
  for (Context* where : {&ctx, &cpu}) {
    ParamStore p = some_params();
    const auto optimizer = make_optimizer(settings(), p.trained());
    draw_grads(p, 0);
    optimizer->step(*where, p, 0.1);
    const Tensor values = p.values().clone(), state = optimizer->state()[0].second->clone();
    const auto loss = make_loss(LossKind::kMeanSquaredError);
    LossSum sum(*where);
    Tensor grad;
    const auto evaluate = [&](float y) {
      loss->evaluate_into(*where, where->here(Tensor::from({1, 1}, std::span<const float>(&y, 1))), where->zeros({1, 1}), 1.0,
                          grad, sum);
    };
    evaluate(std::numeric_limits<float>::infinity());
    draw_grads(p, 1);
    optimizer->prepare(*where, 0.1);
    optimizer->apply(*where, p, &sum);
    EXPECT_TRUE(same(p.values(), values));
    EXPECT_TRUE(same(*optimizer->state()[0].second, state));
    if (where == &ctx) check_copies(p, ctx);
    sum.clear(*where);
    evaluate(1.0f);
    optimizer->prepare(*where, 0.1);
    optimizer->apply(*where, p, &sum);
    EXPECT_FALSE(same(p.values(), values));
    EXPECT_FALSE(same(*optimizer->state()[0].second, state));
  }
}

TEST(DeviceOptimizer, NeedsAPreparedStep) {
  Context ctx = device();
  ParamStore p = some_params();
  EXPECT_THROW(make_optimizer({}, p.trained())->apply(ctx, p), Error);
  EXPECT_THROW(make_optimizer({}, 3)->step(ctx, p, 0.1), Error);
  ParamStore none({"flat"}, {{}}, 1);
  const auto optimizer = make_optimizer({}, 0);
  optimizer->step(ctx, none, 0.1);
  EXPECT_EQ(optimizer->steps(), 1);
}

TEST(DeviceLoss, EqualsTheCpusAndCanBeReplayed) {
  Context ctx = device(), cpu(Backend::kReference);
  const std::vector<double> weights{0.5, 2.0, 3.0};
  for (const LossKind kind : {LossKind::kCrossEntropy, LossKind::kBinaryCrossEntropy, LossKind::kMeanSquaredError}) {
    const std::int64_t width = kind == LossKind::kBinaryCrossEntropy ? 1 : 3,
                       classes = outputs_for(kind, kind == LossKind::kCrossEntropy ? 3 : 2);
    const auto loss =
        make_loss(kind, kind == LossKind::kMeanSquaredError
                            ? std::vector<double>{}
                            : std::vector<double>(weights.begin(), weights.begin() + std::max<std::int64_t>(classes, 2)));
    PhiloxStream random(8, "outputs");
    Tensor y({21, width}), labels = kind == LossKind::kMeanSquaredError ? Tensor({21, width}) : Tensor({21}, DType::kInt32);
    for (float& v : y.f32()) v = static_cast<float>(random.next_normal());
    if (kind == LossKind::kMeanSquaredError) {
      for (float& v : labels.f32()) v = static_cast<float>(random.next_normal());
    } else {
      for (std::int32_t& v : labels.as<std::int32_t>())
        v = static_cast<std::int32_t>(random.next_below(kind == LossKind::kCrossEntropy ? 3 : 2));
    }
    Tensor grad, want;
    const double value = loss->evaluate(cpu, y, labels, 0.1, want);
    const Tensor on_y = ctx.clone(y), on_labels = ctx.clone(labels);
    EXPECT_NEAR(loss->evaluate(ctx, on_y, on_labels, 0.1, grad), value, 1e-12);
    const Tensor got = ctx.host(Tensor::borrow(grad));
    for (std::size_t i = 0; i < want.f32().size(); ++i)
      EXPECT_NEAR(got.f32()[i], want.f32()[i], 1.2e-7 * std::abs(want.f32()[i]));
    EXPECT_THROW(static_cast<void>(loss->scores(on_y)), Error) << "scores are of the host's outputs";

    LossSum sum(ctx);
    const DeviceRuntime& r = ctx.stream().runtime();
    const auto arena = ctx.stream().make_arena();
    ctx.stream().enter(arena.get());
    r.begin_capture(ctx.stream().stream());
    sum.clear(ctx);
    loss->evaluate_into(ctx, on_y, on_labels, 0.1, grad, sum);
    loss->evaluate_into(ctx, on_y, on_labels, 0.1, grad, sum);
    GraphExec* graph = r.end_capture(ctx.stream().stream());
    ctx.stream().enter(nullptr);
    for (int i = 0; i < 2; ++i) r.replay(graph, ctx.stream().stream());
    EXPECT_NEAR(sum.read(ctx).loss, 2 * value, 2e-12);
    r.destroy_graph(graph);
  }
}

TEST(DeviceLoss, RefusesALabelAfterReading) {
  Context ctx = device();
  const std::vector<std::int32_t> bad{0, 3};
  Tensor grad;
  const auto loss = make_loss(LossKind::kCrossEntropy);
  const Tensor y = ctx.zeros({2, 3}), labels = ctx.here(Tensor::from({2}, bad));
  try {
    loss->evaluate(ctx, y, labels, 1.0, grad);
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kInvalidArgument);
  }
}

}  // namespace
}  // namespace sutura::testing
