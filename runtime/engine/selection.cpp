#include "runtime/engine/selection.h"

#include "core/error.h"

namespace sutura {

Verdict Selection::judge(const std::optional<double>& figure) {
  if (!needed()) return {};
  require(figure.has_value(), Errc::kData,
          "early stopping and 'keep: best' need validation records, of both classes where they go by the AUC");
  const auto gain = [&](double before) { return training_.stop_metric == StopMetric::kAuc ? *figure - before : before - *figure; };
  Verdict v;
  v.best = !best_ || gain(*best_) > 0.0;
  if (v.best) best_ = figure;
  const bool better = !reference_ || gain(*reference_) > training_.min_delta;
  if (better) reference_ = figure;
  passes_without_ = better ? 0 : passes_without_ + 1;
  v.stop = training_.patience > 0 && passes_without_ >= training_.patience;
  return v;
}

}  // namespace sutura
