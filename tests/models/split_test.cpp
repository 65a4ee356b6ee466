// A split network equals the whole one: loss and every gradient, for every cut, to the last bit on `reference`.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "tests/models/zoo_cases.h"

namespace sutura::testing {
namespace {

struct Result {
  double loss = 0.0;
  std::vector<ParamStore> params;  // one per segment, with gradients and updated statistics
  Tensor grad_x;
};

/// One training pass through segments. What crosses a cut is copied, as it would be by a wire.
Result run(Context& ctx, const ZooCase& c, const std::vector<std::string>& cuts, std::uint64_t step = 3) {
  const std::vector<Network> segments = build(c).cut_after(cuts);
  const Pass pass{Mode::kTrain, 77, step, 2, 1};
  Result r;
  std::vector<Saved> saved(segments.size());
  Tensor x = inputs_of(c);
  for (std::size_t i = 0; i < segments.size(); ++i) {
    r.params.push_back(segments[i].make_params(5));
    x = segments[i].forward(ctx, r.params[i], x.clone(), saved[i], pass);
  }
  Tensor grad;
  r.loss = make_loss(c.loss)->evaluate(ctx, x, labels_of(c), 1.0 / static_cast<double>(c.input[0]), grad);
  for (std::size_t i = segments.size(); i-- > 0;)
    grad = segments[i].backward(ctx, r.params[i], saved[i], grad.clone(), InputGrad::kNeeded);
  r.grad_x = std::move(grad);
  return r;
}

void expect_same_bytes(const Result& whole, const Result& split, const std::string& where) {
  EXPECT_EQ(whole.loss, split.loss) << where;
  EXPECT_TRUE(same_bytes(whole.grad_x, split.grad_x)) << where << ": gradient of the input";
  const ParamStore& all = whole.params[0];
  std::size_t seen = 0;
  for (const ParamStore& segment : split.params) {
    for (const ParamEntry& e : segment.entries()) {
      const auto w = std::ranges::find(all.entries(), e.name, &ParamEntry::name);
      ASSERT_NE(w, all.entries().end()) << where << ": " << e.name;
      ++seen;
      EXPECT_TRUE(same_bits(part(all.values(), *w), part(segment.values(), e))) << where << ": value of " << e.name;
      if (e.role != ParamRole::kTrained) continue;
      EXPECT_TRUE(same_bits(part(all.grads(), *w), part(segment.grads(), e))) << where << ": gradient of " << e.name;
    }
  }
  EXPECT_EQ(seen, all.entries().size()) << where;
}

class Split : public ::testing::TestWithParam<ZooCase> {};

TEST_P(Split, EveryCutEqualsTheWholeNetworkToTheLastBit) {
  const ZooCase& c = GetParam();
  Context ctx(Backend::kReference);
  const Result whole = run(ctx, c, {});
  ASSERT_TRUE(std::isfinite(whole.loss));
  const auto names = build(c).layer_names();
  for (std::size_t i = 0; i + 1 < names.size(); ++i) expect_same_bytes(whole, run(ctx, c, {names[i]}), "cut after " + names[i]);
}

TEST_P(Split, ThreeSegmentsEqualTheWholeNetworkToTheLastBit) {
  const ZooCase& c = GetParam();
  Context ctx(Backend::kReference);
  const Result whole = run(ctx, c, {});
  const auto names = build(c).layer_names();
  for (std::size_t i = 0; i + 2 < names.size(); ++i)
    for (std::size_t j = i + 1; j + 1 < names.size(); ++j)
      expect_same_bytes(whole, run(ctx, c, {names[i], names[j]}), "cuts after " + names[i] + " and " + names[j]);
}

TEST_P(Split, OnednnAgreesWithReferenceHoweverItIsCut) {
  const ZooCase& c = GetParam();
  Context reference(Backend::kReference);
  Context fast(Backend::kOnednn);
  const Result want = run(reference, c, {});
  const auto names = build(c).layer_names();
  for (const auto& cuts : {std::vector<std::string>{}, {names[0]}, {names[names.size() / 2]}}) {
    const Result got = run(fast, c, cuts);
    // Float sums in another order: about 1e-6 a layer, 20 layers deep; a wrong mask or sign gives errors near 1.
    EXPECT_NEAR(got.loss, want.loss, 1e-4 * (1.0 + std::abs(want.loss)));
    EXPECT_LT(relative_error(got.grad_x.f32(), want.grad_x.f32()), 2e-3);
    for (const ParamStore& segment : got.params) {
      for (const ParamEntry& e : segment.entries()) {
        const auto w = std::ranges::find(want.params[0].entries(), e.name, &ParamEntry::name);
        ASSERT_NE(w, want.params[0].entries().end());
        if (e.role != ParamRole::kTrained) continue;
        EXPECT_LT(relative_error(part(segment.grads(), e), part(want.params[0].grads(), *w)), 2e-3) << e.name;
      }
    }
  }
}

TEST_P(Split, Bfloat16StaysNearFloat32) {
  if (!Context::cpu_has_bf16()) GTEST_SKIP() << "this CPU has no bfloat16";
  const ZooCase& c = GetParam();
  Context reference(Backend::kReference);
  Context narrow(Backend::kOnednn, 1, DType::kBfloat16);
  const Result want = run(reference, c, {}), got = run(narrow, c, {});
  // Eight bits of mantissa: 0.4 % a rounding, amplified where a norm over few values divides by a small deviation.
  EXPECT_NEAR(got.loss, want.loss, 0.1 * (1.0 + std::abs(want.loss)));
  double dot = 0.0, a = 0.0, b = 0.0;
  for (std::size_t i = 0; i < want.params[0].grads().f32().size(); ++i) {
    const double g = got.params[0].grads().f32()[i], w = want.params[0].grads().f32()[i];
    dot += g * w, a += g * g, b += w * w;
  }
  EXPECT_GT(dot / std::sqrt(a * b), 0.9);
}

TEST_P(Split, RunsAreDeterministicAndStepsDrawOtherMasks) {
  const ZooCase& c = GetParam();
  Context ctx(Backend::kReference);
  const Result first = run(ctx, c, {});
  expect_same_bytes(first, run(ctx, c, {}), "second run");
  const auto names = build(c).layer_names();
  const bool drops = std::ranges::any_of(names, [](const std::string& n) { return n.starts_with("drop"); });
  EXPECT_EQ(drops, !same_bytes(first.grad_x, run(ctx, c, {}, 4).grad_x)) << "only dropout may depend on the step";
}

/// The comparison above must be able to fail: the last bits of eight weights are enough.
TEST(SplitControl, ChangedLastBitsAreSeen) {
  const ZooCase c = zoo_cases()[3];
  Context ctx(Backend::kReference);
  const Result whole = run(ctx, c, {});
  const Network network = build(c);
  ParamStore params = network.make_params(5);
  const Tensor fresh = params.values().clone();
  for (float& weight : params.values().f32().first(8)) weight = std::nextafter(weight, 2.0f);
  Saved saved;
  Tensor y = network.forward(ctx, params, inputs_of(c), saved, {Mode::kTrain, 77, 3, 2, 1});
  Tensor grad;
  make_loss(c.loss)->evaluate(ctx, y, labels_of(c), 1.0 / 3.0, grad);
  grad = network.backward(ctx, params, saved, std::move(grad), InputGrad::kNeeded);
  EXPECT_LT(relative_error(params.values().f32(), fresh.f32()), 1e-6);
  EXPECT_FALSE(same_bytes(grad, whole.grad_x));
}

TEST(DropoutMask, IsAPureFunctionOfItsKey) {
  Context ctx(Backend::kReference);
  const auto drawn = [&](const std::string& layer_name, const Pass& pass) {
    const NetworkSpec spec{"", {}, {{layer_name, "dropout", {}}}};
    const Network n = build_network(spec, {1, 64}, 1);
    Saved saved;
    Tensor ones({2, 64});
    std::ranges::fill(ones.f32(), 1.0f);
    return n.forward(ctx, n.make_params(1), std::move(ones), saved, pass);
  };
  const Pass base{Mode::kTrain, 7, 3, 2, 1};
  const Tensor mask = drawn("drop", base);
  EXPECT_TRUE(same_bytes(mask, drawn("drop", base)));
  EXPECT_FALSE(same_bytes(mask, drawn("drop2", base)));
  for (const Pass& other : {Pass{Mode::kTrain, 8, 3, 2, 1}, Pass{Mode::kTrain, 7, 4, 2, 1}, Pass{Mode::kTrain, 7, 3, 1, 1},
                            Pass{Mode::kTrain, 7, 3, 2, 0}, Pass{Mode::kTrain, 7, 3, 1, 2}})
    EXPECT_FALSE(same_bytes(mask, drawn("drop", other)));
}

TEST(Cuts, BadCutsAreRefusedWithTheNames) {
  const ZooCase c = zoo_cases()[1];
  const auto message = [&](const std::vector<std::string>& cuts) -> std::string {
    try {
      build(c).cut_after(cuts);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kConfig);
      return e.what();
    }
    return "no error";
  };
  EXPECT_NE(message({"fc9"}).find("fc1, act1, drop1, fc2"), std::string::npos);
  EXPECT_NE(message({"act2", "act1"}).find("cannot cut after 'act1'"), std::string::npos);
  EXPECT_NE(message({"fc1", "fc1"}).find("cannot cut after 'fc1'"), std::string::npos);
  EXPECT_NE(message({"out"}).find("empty segment"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Zoo, Split, ::testing::ValuesIn(zoo_cases()),
                         [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace sutura::testing
