#include "runtime/engine/selection.h"

#include "core/error.h"

namespace sutura {

Verdict Selection::judge(const std::optional<double>& figure) {
  if (!needed()) return {};
  require(figure.has_value(), Errc::kData,
          "early stopping and 'keep: best' need validation records, of both classes where they go by the AUC");
  const double gain = !best_ ? 0.0 : training_.stop_metric == StopMetric::kAuc ? *figure - *best_ : *best_ - *figure;
  Verdict v;
  v.best = !best_ || gain > training_.min_delta;
  if (v.best) best_ = figure;
  passes_since_best_ = v.best ? 0 : passes_since_best_ + 1;
  v.stop = training_.patience > 0 && passes_since_best_ >= training_.patience;
  return v;
}

}  // namespace sutura
