#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/loss_sum.h"
#include "kernels/ops/device_step/device_step.h"
#include "models/param_store.h"

namespace sutura {

enum class OptimizerKind { kSgd, kAdamW };

struct OptimizerSettings {
  OptimizerKind kind = OptimizerKind::kAdamW;
  double momentum = 0.9;        ///< kSgd
  double weight_decay = 0.0;    ///< kSgd: added to the gradient; kAdamW: decoupled
  double clip_gradients = 0.0;  ///< max L2 norm of the segment's whole gradient before the step, 0: off
  double beta1 = 0.9;           ///< kAdamW, as are the next two
  double beta2 = 0.999;
  double eps = 1e-8;
};

/// Turns gradients into a step of the trained parameters of one segment; owns the state that must outlive each step.
/// Statistics are never stepped. Threads: one.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// Clips params.grads() if so set, then steps params' trained values: prepare(), then apply(). Gradients are left for the
  /// caller to zero. Errors: kShapeMismatch if the store is not of the size this optimizer was made for.
  void step(Context& ctx, ParamStore& params, double learning_rate);
  /// Counts the step and sets what changes with it: the learning rate and AdamW's corrections. On a device they go to a small
  /// buffer there (a tiny kernel, not waited for), so that a captured apply() can be replayed; prepare() itself stays outside
  /// of the graph.
  void prepare(Context& ctx, double learning_rate);
  /// The step itself: on a device nothing is waited for, and every argument stays valid for replays in other steps. With a `gate`
  /// that is not sound() at that moment nothing of params and state changes (prepare() has counted the step all the same); it
  /// must live as long as the graph. On a device the working copy of the weights is written with them.
  /// Errors: as step(); kInternal before the first prepare().
  void apply(Context& ctx, ParamStore& params, const LossSum* gate = nullptr);
  /// Brings the state to the device where `ctx` computes if the host's was written, as ParamStore::refresh() does for parameters:
  /// before a replay.
  virtual void refresh(const Context& ctx) const = 0;
  /// The state by name ("velocity"; "m", "v"), each [trained], for checkpoints: the host's, written and read in place before
  /// the next step.
  virtual std::vector<std::pair<std::string, Tensor*>> state() = 0;
  /// Steps taken; belongs to the state (AdamW's bias correction depends on it).
  std::int64_t steps() const { return steps_; }
  void set_steps(std::int64_t steps) { steps_ = steps; }

 protected:
  Optimizer(const OptimizerSettings& settings, std::int64_t trained) : settings_(settings), trained_(trained) {}
  /// On a CPU. `step` counts from 1.
  virtual void do_step(Context& ctx, ParamStore& params, float learning_rate, std::int64_t step) = 0;
  virtual DeviceStep::Numbers device_numbers(float learning_rate, std::int64_t step) const = 0;
  virtual void do_step_on_device(Context& ctx, const Tensor& grads, const DeviceStep& numbers, StepTarget& target) = 0;
  const OptimizerSettings settings_;
  const std::int64_t trained_;

 private:
  void check(const ParamStore& params) const;
  std::int64_t steps_ = 0;
  std::optional<float> learning_rate_;     // of the last prepare()
  std::optional<DeviceStep> device_step_;  // on a device, since the first prepare()
  Tensor norm_;                            // [1] float64: of the last gradient that was clipped
};

/// An optimizer for a segment of `trained` parameters (ParamStore::trained()), with zeroed state.
/// Errors: kConfig for negative or non-finite settings, momentum or betas outside [0, 1).
std::unique_ptr<Optimizer> make_optimizer(const OptimizerSettings& settings, std::int64_t trained);

enum class RateSchedule { kConstant, kStep, kCosine };

struct RateSettings {
  double learning_rate = 1e-3;
  RateSchedule schedule = RateSchedule::kConstant;
  double warmup_fraction = 0.0;   ///< share of all steps with a linear ramp up to the full rate, every schedule
  std::int64_t step_epochs = 10;  ///< kStep: epochs between drops
  double step_factor = 0.1;       ///< kStep: factor of each drop
};

/// Learning rate of a step, counted from 0; a pure function. kCosine falls from the full rate after the ramp to 0 after the
/// last step: 0.5 (1 + cos(pi t)), t the share of the remaining steps that lies behind.
/// Errors: kInvalidArgument for a step outside [0, total_steps), steps_per_epoch < 1, or a fraction outside [0, 1].
double rate_at(const RateSettings& settings, std::int64_t step, std::int64_t total_steps, std::int64_t steps_per_epoch);

}  // namespace sutura
