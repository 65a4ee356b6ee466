#include "kernels/context.h"

#include <dnnl.hpp>

#include "core/error.h"
#include "kernels/cpu/onednn_engine.h"

namespace sutura {

Backend backend_from_name(std::string_view name) {
  if (name == "reference") return Backend::kReference;
  if (name == "onednn") return Backend::kOnednn;
  throw Error(Errc::kInvalidArgument, "unknown backend \"" + std::string(name) + "\": reference or onednn");
}

std::string_view name(Backend b) {
  switch (b) {
    case Backend::kReference: return "reference";
    case Backend::kOnednn: return "onednn";
  }
  return "unknown";
}

bool Context::cpu_has_bf16() {
  // oneDNN may be told to stay below what the CPU has (ONEDNN_MAX_CPU_ISA); both must agree.
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  return widest_isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512bf16") &&
         (isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx);
}

Context::Context(Backend backend, int threads, DType compute)
    : backend_(backend), threads_(backend == Backend::kReference ? 1 : threads), compute_(compute) {
  require(threads >= 1 && threads <= 1024, Errc::kInvalidArgument, "a context needs 1 to 1024 threads");
  require(compute == DType::kFloat32 || compute == DType::kBfloat16, Errc::kInvalidArgument,
          "activations are float32 or bfloat16, not " + std::string(name(compute)));
  if (compute == DType::kBfloat16) {
    require(backend == Backend::kOnednn, Errc::kDevice, "the reference backend computes in float32 only");
    require(cpu_has_bf16(), Errc::kDevice, "this CPU has no AVX512-BF16: compute in float32");
  }
  if (backend == Backend::kOnednn) engine_ = std::make_unique<onednn::Engine>(threads);
}

Context::~Context() = default;
Context::Context(Context&&) noexcept = default;
Context& Context::operator=(Context&&) noexcept = default;

onednn::Engine& Context::engine() {
  require(engine_ != nullptr, Errc::kInternal, "only the onednn backend has an engine");
  return *engine_;
}

namespace {
/// What oneDNN will use: the CPU's instruction set, or less where ONEDNN_MAX_CPU_ISA says so.
std::string_view onednn_isa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41: return "sse41";
    case dnnl::cpu_isa::avx: return "avx";
    case dnnl::cpu_isa::avx2: return "avx2";
    case dnnl::cpu_isa::avx2_vnni: return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core: return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni: return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16: return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx: return "avx512_core_amx";
    default: return "other";
  }
}
}  // namespace

std::string Context::description() const {
  if (backend_ == Backend::kReference) return "reference, 1 thread, f32";
  const dnnl_version_t& v = *dnnl_version();
  return "onednn " + std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch) + ", " +
         std::to_string(threads_) + (threads_ == 1 ? " thread, " : " threads, ") +
         (compute_ == DType::kBfloat16 ? "bf16, " : "f32, ") + std::string(onednn_isa());
}

}  // namespace sutura
