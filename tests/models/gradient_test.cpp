// Gradients of whole networks against finite differences of their loss.
#include <gtest/gtest.h>

#include "tests/models/zoo_cases.h"

namespace sutura::testing {
namespace {

class Gradient : public ::testing::TestWithParam<ZooCase> {
 protected:
  Context ctx{Backend::kReference};
  const ZooCase& c = GetParam();
  Network network = build(c);
  std::unique_ptr<Loss> loss = make_loss(c.loss);
  ParamStore params = network.make_params(9);
  Tensor x = inputs_of(c);
  const Pass pass{Mode::kTrain, 1, 2, 0, 0};

  double loss_now() {
    Saved saved;
    Tensor grad;
    const Tensor y = network.forward(ctx, params, x.clone(), saved, pass);
    return loss->evaluate(ctx, y, labels_of(c), 1.0, grad);
  }

  /// Change of the loss per unit along `direction`, from central differences of `at` in place.
  double slope(std::span<float> at, std::span<const float> direction, double h) {
    const std::vector<float> before(at.begin(), at.end());
    double sides[2];
    for (int side = 0; side < 2; ++side) {
      for (std::size_t i = 0; i < at.size(); ++i)
        at[i] = static_cast<float>(before[i] + (side == 0 ? h : -h) * static_cast<double>(direction[i]));
      sides[side] = loss_now();
    }
    std::ranges::copy(before, at.begin());
    return (sides[0] - sides[1]) / (2.0 * h);
  }

  /// |slope - grad . d| relative to the gradient's norm, with d half along the gradient and half random, so that a wrong
  /// length and a wrong direction both show.
  double error(std::span<float> at, std::span<const float> grad, std::string_view stream) {
    const Tensor random = random_values({static_cast<std::int64_t>(grad.size())}, stream);
    double grad_norm = 0.0, random_norm = 0.0, along = 0.0;
    for (std::size_t i = 0; i < grad.size(); ++i) {
      along += static_cast<double>(grad[i]) * random.f32()[i];
      grad_norm += static_cast<double>(grad[i]) * grad[i];
      random_norm += static_cast<double>(random.f32()[i]) * random.f32()[i];
    }
    grad_norm = std::sqrt(grad_norm);
    random_norm = std::copysign(std::sqrt(random_norm), along);  // the two halves must not cancel
    std::vector<float> d(grad.size());
    double want = 0.0;
    for (std::size_t i = 0; i < d.size(); ++i) {
      d[i] = static_cast<float>((grad_norm > 0.0 ? grad[i] / grad_norm : 0.0) + random.f32()[i] / random_norm);
      want += static_cast<double>(d[i]) * grad[i];
    }
    // 1e-4: the loss changes by rounding of about 1e-7 (1e-3 in the slope, hence the floor), and larger steps cross the kinks
    // of relu and max pooling, which batch norm over four values steepens.
    return std::abs(slope(at, d, 1e-4) - want) / (grad_norm + 0.05);
  }
};

TEST_P(Gradient, EveryParameterAndTheInputMatchFiniteDifferences) {
  Saved saved;
  Tensor grad;
  Tensor y = network.forward(ctx, params, x.clone(), saved, pass);
  loss->evaluate(ctx, y, labels_of(c), 1.0, grad);
  const Tensor grad_x = network.backward(ctx, params, saved, std::move(grad), InputGrad::kNeeded);
  constexpr double kTolerance = 0.02;  // a missing factor, term or sign errs by 0.1 or more
  for (const ParamEntry& e : params.entries()) {
    if (e.role != ParamRole::kTrained) continue;
    const auto at =
        params.values().f32().subspan(static_cast<std::size_t>(e.offset), static_cast<std::size_t>(e.shape.elements()));
    EXPECT_LT(error(at, part(params.grads(), e), e.name), kTolerance) << e.name;
    // Control: the check would have refused a gradient that is a tenth too large.
    std::vector<float> wrong(part(params.grads(), e).begin(), part(params.grads(), e).end());
    double norm = 0.0;
    for (float& v : wrong) norm += static_cast<double>(v) * v, v *= 1.1f;
    if (std::sqrt(norm) > 0.3) {
      EXPECT_GT(error(at, wrong, e.name), kTolerance) << e.name;
    }
  }
  EXPECT_LT(error(x.f32(), grad_x.f32(), "input"), kTolerance);
}

TEST_P(Gradient, GradientsAddUpOverMicroBatches) {
  const auto pass_once = [&] {
    Saved saved;
    Tensor grad;
    const Tensor y = network.forward(ctx, params, x.clone(), saved, pass);
    loss->evaluate(ctx, y, labels_of(c), 1.0, grad);
    EXPECT_FALSE(network.backward(ctx, params, saved, std::move(grad), InputGrad::kNotNeeded).defined());
    EXPECT_TRUE(saved.children.empty()) << "backward consumes what forward saved";
  };
  pass_once();
  const Tensor once = params.grads().clone();
  pass_once();
  for (std::size_t i = 0; i < once.f32().size(); ++i) ASSERT_EQ(params.grads().f32()[i], once.f32()[i] + once.f32()[i]);
  params.zero_grads(ctx);
  for (const float v : params.grads().f32()) ASSERT_EQ(v, 0.0f);
}

TEST_P(Gradient, EvaluationSavesNothingAndChangesNothing) {
  const Tensor before = params.values().clone();
  Saved saved;
  const Pass evaluate{Mode::kEvaluate, 1, 2, 0, 0};
  const Tensor first = network.forward(ctx, params, x.clone(), saved, evaluate);
  for (const Saved& s : saved.children) EXPECT_TRUE(s.tensors.empty() && s.children.empty());
  EXPECT_TRUE(same_bytes(params.values(), before));
  // Records do not influence each other in evaluation: a batch of one gives the same row.
  const Tensor alone = network.forward(ctx, params, x.rows(1, 1).clone(), saved, evaluate);
  EXPECT_TRUE(same_bytes(alone, first.rows(1, 1)));
}

INSTANTIATE_TEST_SUITE_P(Zoo, Gradient, ::testing::ValuesIn(zoo_cases()),
                         [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace sutura::testing
