#include "kernels/cpu/onednn_engine.h"

#include <omp.h>

#include <algorithm>

#include "core/error.h"
#include "kernels/cpu/onednn_backend.h"

namespace sutura::onednn {

Engine::Engine(int thread_count) : device(dnnl::engine::kind::cpu, 0), stream(device), threads(thread_count), isa(widest_isa()) {}

void Engine::enter() const {
  if (omp_get_max_threads() != threads) omp_set_num_threads(threads);
}

void Engine::fail(const dnnl::error& e) {
  throw Error(Errc::kDevice, std::string("oneDNN cannot run this operation on this CPU: ") + e.what());
}

const Plan& Engine::remember(const PlanKey& key, Plan plan) {
  if (plans_.size() >= plan_capacity) plans_.clear();
  ++plans_made_;
  return plans_.emplace(key, std::move(plan)).first->second;
}

std::vector<std::string> Engine::implementations() const {
  std::vector<std::string> names;
  for (const auto& [key, plan] : plans_) names.push_back(plan.implementation);
  return names;
}

void* Engine::memory(Slot slot, std::size_t bytes) {
  Tensor& held = slots_[static_cast<std::size_t>(slot)];
  if (!held.defined() || held.bytes_size() < bytes) {
    held = Tensor();  // the old block goes first: the two need not fit together
    held = Tensor({static_cast<std::int64_t>(std::max<std::size_t>(bytes, 4096))}, DType::kUint8);
  }
  return held.data();
}

void Engine::execute(const Plan& plan, std::unordered_map<int, dnnl::memory> args) {
  if (const std::size_t bytes = plan.scratchpad.get_size(); bytes > 0) {
    args.emplace(DNNL_ARG_SCRATCHPAD, wrap(plan.scratchpad, memory(Slot::kScratchpad, bytes)));
  }
  plan.run.execute(stream, args);
}

dnnl::memory Engine::wrap(const dnnl::memory::desc& desc, const void* data) const {
  return dnnl::memory(desc, device, const_cast<void*>(data));
}

dnnl::memory Engine::loaded_weights(const Plan& plan, const void* plain) {
  if (plan.weights == plan.plain_weights) return wrap(plan.weights, plain);
  dnnl::memory out = wrap(plan.weights, memory(Slot::kWeights, plan.weights.get_size()));
  plan.load_weights.execute(stream, {{DNNL_ARG_FROM, wrap(plan.plain_weights, plain)}, {DNNL_ARG_TO, out}});
  return out;
}

dnnl::memory::data_type data_type(DType type) {
  using Type = dnnl::memory::data_type;
  require(type == DType::kFloat32 || type == DType::kBfloat16, Errc::kInvalidArgument,
          "the onednn backend computes in float32 or bfloat16, not " + std::string(name(type)));
  return type == DType::kFloat32 ? Type::f32 : Type::bf16;
}

std::unique_ptr<Engine, void (*)(Engine*)> make_engine(int threads) {
  return {new Engine(threads), [](Engine* e) { delete e; }};
}

bool allows_bf16() {
  const dnnl::cpu_isa isa = dnnl::get_effective_cpu_isa();
  return isa == dnnl::cpu_isa::avx512_core_bf16 || isa == dnnl::cpu_isa::avx512_core_amx;
}

std::string version() {
  const dnnl_version_t& v = *dnnl_version();
  return "onednn " + std::to_string(v.major) + "." + std::to_string(v.minor) + "." + std::to_string(v.patch);
}

std::string isa() {
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

}  // namespace sutura::onednn
