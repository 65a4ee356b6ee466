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
  void refresh(const Context& ctx) const override { velocity_.on(ctx); }

 protected:
  void do_step(Context& ctx, ParamStore& params, float learning_rate, std::int64_t) override {
    Tensor values = params.trained_values_on(ctx), velocity = velocity_.on(ctx);  // [trained]
    sgd_step(ctx, with_rate(learning_rate), params.grads_on(ctx), values, velocity);
  }
  DeviceStep::Numbers device_numbers(float learning_rate, std::int64_t) const override {
    return sgd_rates(with_rate(learning_rate));
  }
  void do_step_on_device(Context& ctx, const Tensor& grads, const DeviceStep& step, StepTarget& target) override {
    Tensor velocity = velocity_.on(ctx);
    sgd_step_from_device(ctx, with_rate(0.0f), step, grads, target, velocity);
  }

 private:
  SgdSettings with_rate(float learning_rate) const {
    return {learning_rate, static_cast<float>(settings_.momentum), static_cast<float>(settings_.weight_decay)};
  }
  Mirrored velocity_;  // [trained]
};

class AdamW final : public Optimizer {
 public:
  AdamW(const OptimizerSettings& settings, std::int64_t trained)
      : Optimizer(settings, trained), m_(Mirrored(Tensor::zeros({trained}))), v_(Mirrored(Tensor::zeros({trained}))) {}
  std::vector<std::pair<std::string, Tensor*>> state() override { return {{"m", &m_.host()}, {"v", &v_.host()}}; }
  void refresh(const Context& ctx) const override {
    m_.on(ctx);
    v_.on(ctx);
  }

 protected:
  void do_step(Context& ctx, ParamStore& params, float learning_rate, std::int64_t step) override {
    Tensor values = params.trained_values_on(ctx), m = m_.on(ctx), v = v_.on(ctx);  // [trained]
    adamw_step(ctx, with_rate(learning_rate), step, params.grads_on(ctx), values, m, v);
  }
  DeviceStep::Numbers device_numbers(float learning_rate, std::int64_t step) const override {
    return adamw_rates(with_rate(learning_rate), step);
  }
  void do_step_on_device(Context& ctx, const Tensor& grads, const DeviceStep& step, StepTarget& target) override {
    Tensor m = m_.on(ctx), v = v_.on(ctx);
    adamw_step_from_device(ctx, with_rate(0.0f), step, grads, target, m, v);
  }

 private:
  AdamWSettings with_rate(float learning_rate) const {
    return {learning_rate, static_cast<float>(settings_.beta1), static_cast<float>(settings_.beta2),
            static_cast<float>(settings_.eps), static_cast<float>(settings_.weight_decay)};
  }
  Mirrored m_;  // [trained]
  Mirrored v_;  // [trained]
};

}  // namespace

void Optimizer::check(const ParamStore& params) const {
  require(params.trained() == trained_, Errc::kShapeMismatch,
          "an optimizer for " + std::to_string(trained_) + " parameters met a segment of " + std::to_string(params.trained()));
}

void Optimizer::step(Context& ctx, ParamStore& params, double learning_rate) {
  check(params);  // before the step counts
  prepare(ctx, learning_rate);
  apply(ctx, params);
}

void Optimizer::prepare(Context& ctx, double learning_rate) {
  ++steps_;
  learning_rate_ = static_cast<float>(learning_rate);
  if (!ctx.on_device()) return;
  if (!norm_.defined()) norm_ = ctx.zeros({1}, DType::kFloat64);  // here, where no graph's arena is entered
  if (!device_step_) device_step_.emplace(ctx);
  set_device_step(ctx, device_numbers(*learning_rate_, steps_), *device_step_);
}

void Optimizer::apply(Context& ctx, ParamStore& params, const LossSum* gate) {
  check(params);
  require(learning_rate_.has_value(), Errc::kInternal, "an optimizer steps after prepare()");
  if (trained_ == 0) return;
  if (!ctx.on_device() && gate != nullptr && !gate->read(ctx).sound()) return;
  Tensor grads = params.grads_on(ctx);
  if (settings_.clip_gradients > 0.0) {
    if (!norm_.defined()) norm_ = ctx.zeros({1}, DType::kFloat64);
    clip_gradients_into(ctx, settings_.clip_gradients, grads, norm_);
  }
  if (!ctx.on_device()) return do_step(ctx, params, *learning_rate_, steps_);
  StepTarget target = params.step_target(ctx);
  device_step_->gate = gate;
  do_step_on_device(ctx, grads, *device_step_, target);
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
