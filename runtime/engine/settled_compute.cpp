#include "runtime/engine/settled_compute.h"

#include "core/error.h"

namespace sutura {

Context SettledCompute::context() const { return Context(compute.backend, compute.threads, compute.precision, compute.math); }

std::string SettledCompute::description(const Context& ctx) const {
  return instead.empty() ? ctx.description() : ctx.description() + "; " + instead;
}

SettledCompute settle_compute(const ComputeConfig& compute) {
  if (compute.backend != Backend::kNative && compute.backend != Backend::kCudnn) return {compute, {}};
  try {
    SettledCompute wanted{compute, {}};
    wanted.context();  // the libraries' handles too: what cannot be made later is missing now
    return wanted;
  } catch (const Error& e) {
    if (e.code() != Errc::kDevice || compute.fallback == Fallback::kNone) throw;
    SettledCompute cpu{compute, e.what()};
    cpu.compute.backend = compute.fallback == Fallback::kOnednn ? Backend::kOnednn : Backend::kReference;
    cpu.compute.precision = DType::kFloat32;
    cpu.compute.math = Math::kIeee;
    return cpu;
  }
}

}  // namespace sutura
