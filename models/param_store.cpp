#include "models/param_store.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random/philox.h"

namespace sutura {

ParamStore::ParamStore(const std::vector<std::string>& layer_names, const std::vector<std::vector<ParamSpec>>& specs,
                       std::uint64_t seed) {
  by_layer_.resize(specs.size());
  std::int64_t offset = 0;
  std::int64_t trained = 0;
  std::vector<const ParamSpec*> spec_of;
  for (const ParamRole role : {ParamRole::kTrained, ParamRole::kStatistic}) {
    for (std::size_t l = 0; l < specs.size(); ++l) {
      for (const ParamSpec& s : specs[l]) {
        if (s.role != role) continue;
        entries_.push_back({layer_names[l] + "." + s.name, s.shape, role, offset});
        spec_of.push_back(&s);
        offset += s.shape.elements();
      }
    }
    if (role == ParamRole::kTrained) trained = offset;
  }
  for (std::size_t l = 0; l < specs.size(); ++l)
    for (const ParamSpec& s : specs[l])
      by_layer_[l].push_back(static_cast<std::size_t>(std::find(spec_of.begin(), spec_of.end(), &s) - spec_of.begin()));

  values_ = Mirrored(Tensor::zeros({offset}));
  grads_ = Mirrored(Tensor::zeros({trained}));
  for (std::size_t e = 0; e < entries_.size(); ++e) {
    const ParamSpec& s = *spec_of[e];
    const auto out =
        values_.host().f32().subspan(static_cast<std::size_t>(entries_[e].offset), static_cast<std::size_t>(s.shape.elements()));
    if (s.init == Init::kOnes) std::fill(out.begin(), out.end(), 1.0f);
    if (s.init == Init::kFanInUniform) {
      require(s.fan_in > 0, Errc::kInternal, "parameter " + entries_[e].name + " has no fan-in");
      const float bound = 1.0f / std::sqrt(static_cast<float>(s.fan_in));
      PhiloxStream random(seed, "init:" + entries_[e].name);
      for (float& v : out) v = (2.0f * random.next_float() - 1.0f) * bound;
    }
  }
}

ParamView ParamStore::view(const Context& ctx, std::size_t layer) const {
  refresh(ctx);
  const Tensor values = values_.on(ctx), grads = grads_.on(ctx);
  ParamView v;
  for (const std::size_t e : by_layer_[layer]) {
    const ParamEntry& entry = entries_[e];
    v.values.push_back(Tensor::part(values, entry.offset, entry.shape));
    if (half_ && ctx.on_device() && half_->offset[e] >= 0)
      v.values.back().set_half(static_cast<bf16*>(half_->copy.half.data()) + half_->offset[e]);
    v.grads.push_back(entry.role == ParamRole::kTrained ? Tensor::part(grads, entry.offset, entry.shape) : Tensor());
  }
  return v;
}

void ParamStore::assign_trained(const Context& ctx, const ParamStore& from) {
  require(trained() == from.trained(), Errc::kShapeMismatch, "weights were assigned to a segment of another size");
  refresh(ctx);
  Tensor to = trained_values_on(ctx);  // [trained]
  ctx.copy(from.trained_values_on(ctx), to);
  if (half_ && ctx.on_device()) refresh_working_copy(ctx, to, half_->copy);
}

void ParamStore::make_half(const Context& ctx) const {
  std::vector<FlatRange> copied;
  for (const ParamEntry& e : entries_)
    if (e.role == ParamRole::kTrained && e.shape.rank() >= 2) copied.push_back({e.offset, e.shape.elements()});
  const std::vector<std::int64_t> offsets = working_offsets(copied);
  half_.emplace(Half{make_working_copy(ctx, trained(), copied), std::vector<std::int64_t>(entries_.size(), -1), 0});
  for (std::size_t e = 0, next = 0; e < entries_.size(); ++e)
    if (next < copied.size() && entries_[e].role == ParamRole::kTrained && entries_[e].shape.rank() >= 2)
      half_->offset[e] = offsets[next++];
}

void ParamStore::refresh(const Context& ctx) const {
  if (!values_.defined()) return;
  Tensor values = trained_values_on(ctx);  // [trained]
  if (trained() > 0) grads_.on(ctx);
  if (!ctx.on_device() || ctx.compute() != DType::kBfloat16) return;
  if (!half_) make_half(ctx);
  if (half_->uploads == values_.uploads()) return;
  refresh_working_copy(ctx, values, half_->copy);
  half_->uploads = values_.uploads();
}

StepTarget ParamStore::step_target(const Context& ctx) const {
  refresh(ctx);
  return {trained_values_on(ctx), half_ && ctx.on_device() ? &half_->copy : nullptr};
}

Tensor ParamStore::trained_values_on(const Context& ctx) const { return Tensor::part(values_.on(ctx), 0, {trained()}); }

}  // namespace sutura
