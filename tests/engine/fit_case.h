#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/equivalence/split_run.h"

/// Small studies that begin to memorise their training records after a few epochs, so that validation has a best pass; and
/// what follows from validation figures, computed from the files that a run wrote.
namespace sutura::testing {

/// A study in one topology and schedule, and the folders of the processes that hold the loss.
struct FitCase {
  std::string name;
  StudyText text;
  std::vector<std::string> loss_at;
  friend void PrintTo(const FitCase& c, std::ostream* out) { *out << c.name; }
};

/// Every place where the loss can lie, and schedules with copies per site and hand-overs.
std::vector<FitCase> fit_cases();
FitCase fit_case(const std::string& name);
/// Its records: sites of unequal size.
std::vector<SiteData> records_of(const FitCase& c);

enum class Figure { kLoss, kAuc };
/// The validation figure of each epoch as metrics.jsonl holds it: of several holders the mean, weighted by records. Epochs
/// without a validation pass have none.
std::vector<std::optional<double>> validation_figures(const Trained& t, const FitCase& c, Figure which = Figure::kLoss);
/// The first epoch with the best figure.
std::int64_t best_of(const std::vector<std::optional<double>>& figures, Figure which = Figure::kLoss);

struct Patience {
  std::int64_t passes = 0;
  double min_delta = 0.0;
  Figure by = Figure::kLoss;
};
/// Number of epochs after which early stopping ends training; all of them if it does not.
std::int64_t epochs_until_stop(const std::vector<std::optional<double>>& figures, const Patience& p);
/// ", early_stopping: {...}" of a study.
std::string early_stopping(const Patience& p);

}  // namespace sutura::testing
