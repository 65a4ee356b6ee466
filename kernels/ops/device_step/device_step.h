#pragma once
#include <array>

#include "kernels/loss_sum.h"
#include "kernels/ops/working_copy/working_copy.h"

namespace sutura {

/// What one optimizer step on a device reads from the device: a captured graph freezes kernel arguments, and these change with
/// every step. What the numbers mean is the optimizer's (sgd_rates(), adamw_rates()).
struct DeviceStep {
  using Numbers = std::array<float, 4>;
  explicit DeviceStep(const Context& ctx) : numbers(ctx.zeros({4})) {}
  Tensor numbers;                 // [4] float32, device
  const LossSum* gate = nullptr;  ///< the step changes nothing unless this is sound(); nullptr: it always does
};

/// step.numbers = numbers, by a kernel that carries them as arguments: no memory of the host has to live on, and the call is
/// cheap. Leave it out of a captured graph. Device contexts only. Errors: kInternal on a CPU backend.
void set_device_step(Context& ctx, const DeviceStep::Numbers& numbers, DeviceStep& step);

/// What a step on a device writes besides its state: the values, and their working copy where there is one.
struct StepTarget {
  Tensor values;                      // [P] float32, borrowed
  const WorkingCopy* copy = nullptr;  ///< made for P elements
};

}  // namespace sutura
