#pragma once
#include "core/error.h"
#include "kernels/context.h"
#include "kernels/cpu/math.h"
#include "kernels/device_ops.h"

namespace sutura {

/// A function of the device that the context computes on. Errors: kDevice where its table has none.
template <class Function>
Function* device_entry(const Context& ctx, Function* DeviceOps::*on_device) {
  Function* f = ctx.device().*on_device;
  require(f != nullptr, Errc::kDevice, "this operation does not exist on the " + std::string(name(ctx.backend())) + " backend");
  return f;
}

/// The implementation of a CPU backend, for ops whose device function takes other arguments.
template <class Function>
Function* on_cpu(const Context& ctx, Function* for_reference, Function* for_onednn) {
  if (ctx.backend() == Backend::kOnednn) return for_onednn;
  require(ctx.backend() == Backend::kReference, Errc::kInternal, "a CPU's implementation was asked for on a device");
  reference::require_ieee_mode();
  return for_reference;
}

/// The implementation of the context's backend: the one place that knows the list of backends. `on_device` is the op's entry in
/// the table of a device. Errors: kDevice where that table has none.
template <class Function>
Function* on_backend(const Context& ctx, Function* for_reference, Function* for_onednn, Function* DeviceOps::*on_device) {
  switch (ctx.backend()) {
    case Backend::kReference: reference::require_ieee_mode(); return for_reference;
    case Backend::kOnednn: return for_onednn;
    case Backend::kNative:
    case Backend::kCudnn: return device_entry(ctx, on_device);
  }
  throw Error(Errc::kInternal, "an unknown backend");
}

}  // namespace sutura
