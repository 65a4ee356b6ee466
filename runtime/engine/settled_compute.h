#pragma once
#include <string>

#include "kernels/context.h"
#include "runtime/config/study.h"

namespace sutura {

/// What a party computes with on this machine.
struct SettledCompute {
  ComputeConfig compute;  ///< as the study says, or its fallback
  std::string instead;    ///< one line: which device was asked for and why it is not used; empty where it is, or none was

  Context context() const;
  /// Of context(), and of what it stands in for: for the run's summary.
  std::string description(const Context& ctx) const;
};

/// Looks for the device that `compute` asks for. Errors: kDevice where it cannot be used and there is no fallback.
SettledCompute settle_compute(const ComputeConfig& compute);

}  // namespace sutura
