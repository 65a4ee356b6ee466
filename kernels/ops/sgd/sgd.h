#pragma once
#include "kernels/context.h"
#include "kernels/ops/device_step/device_step.h"
#include "kernels/tensor.h"

namespace sutura {

struct SgdSettings {
  float learning_rate = 0.0f;
  float momentum = 0.0f;
  float weight_decay = 0.0f;
};

/// One step of stochastic gradient descent as PyTorch's SGD (dampening 0, no Nesterov): g = grads + weight_decay *
/// params;  velocity = momentum * velocity + g;  params -= learning_rate * velocity. With momentum 0 the velocity is
/// neither read nor written and may be undefined.
/// Shapes   grads, params, velocity: [P] float32, the same P >= 0; velocity starts as zeros. Nothing aliases.
/// Numbers  Element by element in float32; NaN in a gradient reaches its own parameter only.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, a setting that is negative or not finite).
/// Source   Sutskever et al. 2013, "On the importance of initialization and momentum", in PyTorch's form.
void sgd_step(Context& ctx, const SgdSettings& settings, const Tensor& grads, Tensor& params, Tensor& velocity);

/// The numbers of a DeviceStep for these settings.
DeviceStep::Numbers sgd_rates(const SgdSettings& settings);
/// sgd_step() on a device, with the learning rate of `step` instead of settings'; also writes target's working copy. Nothing
/// changes where step's gate is not sound. The same bits as the reference backend. Errors: as sgd_step; kInternal on a CPU
/// backend.
void sgd_step_from_device(Context& ctx, const SgdSettings& settings, const DeviceStep& step, const Tensor& grads,
                          StepTarget& target, Tensor& velocity);

}  // namespace sutura
