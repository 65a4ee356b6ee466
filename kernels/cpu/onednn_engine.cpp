#include "kernels/cpu/onednn_engine.h"

#include <omp.h>

#include <algorithm>

#include "core/error.h"

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

}  // namespace sutura::onednn
