#pragma once
#include <cstdint>

#include "kernels/context.h"
#include "kernels/ops/device_step/device_step.h"
#include "kernels/tensor.h"

namespace sutura {

struct AdamWSettings {
  float learning_rate = 0.0f;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float eps = 1e-8f;
  float weight_decay = 0.0f;
};

/// One step of AdamW as PyTorch's (no amsgrad); t counts steps from 1: params *= 1 - learning_rate * weight_decay;  m =
/// beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2; params -= learning_rate / (1 - beta1^t) * m /
/// (sqrt(v) / sqrt(1 - beta2^t) + eps).
/// Shapes   grads, params, m, v: [P] float32, the same P >= 0; m and v start as zeros. Nothing aliases.
/// Numbers  Element by element in float32, bias corrections in double; NaN in a gradient reaches its own parameter
///          only.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, t < 1, betas outside [0, 1), negative or non-finite
///          settings).
/// Source   Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", algorithm 2.
void adamw_step(Context& ctx, const AdamWSettings& settings, std::int64_t t, const Tensor& grads, Tensor& params, Tensor& m,
                Tensor& v);

/// The numbers of a DeviceStep for these settings at step t: {1 - learning_rate * weight_decay, learning_rate / (1 - beta1^t),
/// sqrt(1 - beta2^t)}, computed in double.
DeviceStep::Numbers adamw_rates(const AdamWSettings& settings, std::int64_t t);
/// adamw_step() on a device, with the numbers of `step` instead of settings' learning rate and t; also writes target's working
/// copy. Nothing changes where step's gate is not sound. The same bits as the reference backend. Errors: as adamw_step;
/// kInternal on a CPU backend.
void adamw_step_from_device(Context& ctx, const AdamWSettings& settings, const DeviceStep& step, const Tensor& grads,
                            StepTarget& target, Tensor& m, Tensor& v);

/// base^n by repeated squaring, n >= 0: the same bits everywhere, shared by the backends' bias corrections.
double integer_power(double base, std::int64_t n);

}  // namespace sutura
