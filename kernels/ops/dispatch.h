#pragma once
#include "core/error.h"
#include "kernels/context.h"
#include "kernels/cpu/math.h"

namespace sutura {

/// The implementation of the context's backend: the one place that knows the list of backends.
template <class Function>
Function* on_backend(const Context& ctx, Function* for_reference, Function* for_onednn) {
  switch (ctx.backend()) {
    case Backend::kReference: reference::require_ieee_mode(); return for_reference;
    case Backend::kOnednn: return for_onednn;
  }
  throw Error(Errc::kInternal, "an unknown backend");
}

}  // namespace sutura
