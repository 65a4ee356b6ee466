#include "runtime/engine/best_weights.h"

#include <algorithm>

namespace sutura {

void BestWeights::take(Executor& executor) {
  segments_.clear();
  for (const std::string& name : executor.setup().segments.names) {
    if (!executor.holds(name)) continue;
    for (const SegmentCopy& from : executor.copies(name)) {
      Copy to{from.params.values().clone(), {}, 0};
      if (from.optimizer != nullptr) {
        for (const auto& [part, tensor] : from.optimizer->state()) to.state.push_back(tensor->clone());
        to.steps = from.optimizer->steps();
      }
      segments_[name].push_back(std::move(to));
    }
  }
}

void BestWeights::put_back(Executor& executor) const {
  for (const auto& [name, copies] : segments_)
    for (std::size_t c = 0; c < copies.size(); ++c) {
      SegmentCopy& to = executor.copies(name)[c];
      std::ranges::copy(copies[c].values.f32(), to.params.values().f32().begin());
      if (to.optimizer == nullptr) continue;
      std::size_t part = 0;
      for (const auto& [key, tensor] : to.optimizer->state())
        std::ranges::copy(copies[c].state[part++].f32(), tensor->f32().begin());
      to.optimizer->set_steps(copies[c].steps);
    }
}

}  // namespace sutura
