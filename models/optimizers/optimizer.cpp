#include "models/optimizers/optimizer.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "kernels/ops/adamw/adamw.h"
#include "kernels/ops/clip_gradients/clip_gradients.h"
#include "kernels/ops/sgd/sgd.h"
#include "models/cosine.h"

namespace sutura {
namespace {

class Sgd final : public Optimizer {
 public:
  Sgd(const OptimizerSettings& settings, std::int64_t trained)
      : Optimizer(settings, trained), velocity_(Mirrored(Tensor::zeros({trained}))) {}
  std::vector<std::pair<std::string, Tensor*>> state() override { return {{"velocity", &velocity_.host()}}; }

 protected:
  void do_step(Context& ctx, ParamStore& params, float learning_rate, std::int64_t) override {
    Tensor values = params.trained_values_on(ctx), velocity = velocity_.on(ctx);  // [trained]
    sgd_step(ctx, {learning_rate, static_cast<float>(settings_.momentum), static_cast<float>(settings_.weight_decay)},
             params.grads_on(ctx), values, velocity);
  }

 private:
  Mirrored velocity_;  // [trained]
};

class AdamW final : public Optimizer {
 public:
  AdamW(const OptimizerSettings& settings, std::int64_t trained)
      : Optimizer(settings, trained), m_(Mirrored(Tensor::zeros({trained}))), v_(Mirrored(Tensor::zeros({trained}))) {}
  std::vector<std::pair<std::string, Tensor*>> state() override { return {{"m", &m_.host()}, {"v", &v_.host()}}; }

 protected:
  void do_step(Context& ctx, ParamStore& params, float learning_rate, std::int64_t step) override {
    Tensor values = params.trained_values_on(ctx), m = m_.on(ctx), v = v_.on(ctx);  // [trained]
    const AdamWSettings s{learning_rate, static_cast<float>(settings_.beta1), static_cast<float>(settings_.beta2),
                          static_cast<float>(settings_.eps), static_cast<float>(settings_.weight_decay)};
    adamw_step(ctx, s, step, params.grads_on(ctx), values, m, v);
  }

 private:
  Mirrored m_;  // [trained]
  Mirrored v_;  // [trained]
};

}  // namespace

void Optimizer::step(Context& ctx, ParamStore& params, double learning_rate) {
  require(params.trained() == trained_, Errc::kShapeMismatch,
          "an optimizer for " + std::to_string(trained_) + " parameters met a segment of " + std::to_string(params.trained()));
  ++steps_;
  if (trained_ == 0) return;
  if (settings_.clip_gradients > 0.0) {
    Tensor grads = params.grads_on(ctx);
    clip_gradients(ctx, settings_.clip_gradients, grads);
  }
  do_step(ctx, params, static_cast<float>(learning_rate), steps_);
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSettings& settings, std::int64_t trained) {
  const auto below_one = [](double v, const char* what) {
    require(v >= 0.0 && v < 1.0, Errc::kConfig, std::string("optimizer: ") + what + " must be at least 0 and below 1");
  };
  const auto not_negative = [](double v, const char* what) {
    require(v >= 0.0 && std::isfinite(v), Errc::kConfig, std::string("optimizer: ") + what + " must be 0 or more");
  };
  below_one(settings.momentum, "momentum");
  below_one(settings.beta1, "beta1");
  below_one(settings.beta2, "beta2");
  not_negative(settings.weight_decay, "weight_decay");
  not_negative(settings.clip_gradients, "clip_gradients");
  not_negative(settings.eps, "eps");
  switch (settings.kind) {
    case OptimizerKind::kSgd: return std::make_unique<Sgd>(settings, trained);
    case OptimizerKind::kAdamW: return std::make_unique<AdamW>(settings, trained);
  }
  throw Error(Errc::kInternal, "an optimizer outside the list");
}

double rate_at(const RateSettings& s, std::int64_t step, std::int64_t total_steps, std::int64_t steps_per_epoch) {
  require(step >= 0 && step < total_steps && steps_per_epoch >= 1, Errc::kInvalidArgument,
          "a learning rate was asked for step " + std::to_string(step) + " of " + std::to_string(total_steps));
  require(s.warmup_fraction >= 0.0 && s.warmup_fraction <= 1.0, Errc::kInvalidArgument, "warmup_fraction must be 0 to 1");
  require(s.schedule != RateSchedule::kStep || s.step_epochs >= 1, Errc::kInvalidArgument, "step_epochs must be at least 1");
  const std::int64_t ramp = std::llround(s.warmup_fraction * static_cast<double>(total_steps));
  if (step < ramp) return s.learning_rate * static_cast<double>(step + 1) / static_cast<double>(ramp);
  if (s.schedule == RateSchedule::kCosine) {
    const double behind = static_cast<double>(step - ramp) / static_cast<double>(total_steps - ramp);
    return s.learning_rate * 0.5 * (1.0 + cos_pi(behind));
  }
  double rate = s.learning_rate;
  if (s.schedule == RateSchedule::kStep)
    for (std::int64_t drop = 0; drop < step / steps_per_epoch / s.step_epochs; ++drop) rate *= s.step_factor;
  return rate;
}

}  // namespace sutura
