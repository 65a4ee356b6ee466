#pragma once
#include <cstdint>
#include <optional>

#include "runtime/config/study.h"

namespace sutura {

/// What follows from one validation pass.
struct Verdict {
  bool best = false;  ///< these are the best weights so far
  bool stop = false;  ///< training ends here
};

/// Early stopping and the choice of the best weights (training.early_stopping, training.keep) by one validation figure.
class Selection {
 public:
  explicit Selection(const TrainingConfig& training) : training_(training) {}
  /// True if the study selects: then every validation pass needs a figure.
  bool needed() const { return training_.keep == Keep::kBest || training_.patience > 0; }
  /// Judges the figure of a pass. Errors: kData if there is none (no validation records, or of one class for the AUC).
  Verdict judge(const std::optional<double>& figure);
  /// The next pass is the best so far, whatever came before: a site joined, and it has no copy of the earlier best weights.
  void forget_best() { best_.reset(); }

 private:
  const TrainingConfig& training_;
  std::optional<double> best_;       ///< of all passes: what keep: best keeps
  std::optional<double> reference_;  ///< what the next pass must beat by min_delta for training to go on
  std::int64_t passes_without_ = 0;
};

}  // namespace sutura
