#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/config/load_study.h"
#include "runtime/engine/executor.h"

namespace sutura {

/// Three trainings of the same network with the same settings, tested on the same records.
enum class Setting : std::uint8_t {
  kJoint,   ///< the study itself, guards and all
  kAlone,   ///< one site, or one party, with nobody to join; without guards
  kPooled,  ///< all records in one place, without guards
};
inline constexpr std::array kSettings{Setting::kJoint, Setting::kAlone, Setting::kPooled};

/// A figure of test scores; larger is better unless it is an error.
struct FigureKind {
  enum class Best : std::uint8_t { kLargest, kSmallest };
  std::string name;
  Best best = Best::kLargest;
};
/// Figures of a study: auc and accuracy of two classes; auc, accuracy and macro_f1 of several (auc one-versus-rest, macro);
/// mean_squared_error of numbers.
std::vector<FigureKind> figures_of(LossKind loss, std::int64_t classes);
/// Nothing where the records do not determine it (no records, a class is absent).
std::optional<double> figure(const FigureKind& kind, const Scores& scores, LossKind loss);

/// A site, a party, or all of them together.
struct CompareRow {
  std::string name;
  /// Training records (mean over folds and seeds) and test records (of all folds, mean over seeds).
  double train_records = 0.0, test_records = 0.0;
  /// [figure][setting][seed]; nothing where the setting does not exist or the figure is not determined.
  std::vector<std::array<std::vector<std::optional<double>>, 3>> values;
};

struct Comparison {
  std::string study;
  std::string joins;        ///< "sites" or "parties"
  std::string joint_guard;  ///< privacy statement of the joint run
  bool pooled_is_joint = false;  ///< nothing in the joint run is guarded or rounded: pooled would repeat it
  std::vector<std::uint64_t> seeds;
  std::int64_t folds = 0;   ///< 0: the study's own split
  std::vector<FigureKind> figures;
  std::vector<CompareRow> rows;  ///< sites or parties in order; the last row is all together
  double seconds = 0.0;
};

/// Gain from joining: joint over alone, positive where joining is better; nothing where either is missing.
std::optional<double> gain(const FigureKind& kind, std::optional<double> joint, std::optional<double> alone);

struct MeanSd {
  std::optional<double> mean, sd;  ///< sd (n - 1) of two or more values
  std::int64_t n = 0;
};
/// Over the values that are there.
MeanSd mean_sd(const std::vector<std::optional<double>>& values);

struct CompareHooks {
  std::function<bool()> stop_requested;
  /// After each run: "seed 1, fold 2 of 5: alone clinic"; the run's figure; runs done and runs in all.
  std::function<void(const std::string& what, std::optional<double> first_figure, std::int64_t done, std::int64_t of)> on_run;
};

/// Loads the study with these overrides beside the user's own: "seed=3", "data.fold=1".
using StudyLoader = std::function<LoadedStudy(const std::vector<std::string>&)>;

/// kAll: every part of data.folds is the test part once per seed, and the test scores of all parts are one set of scores.
enum class Folds : std::uint8_t { kStudysOwn, kAll };

/// Runs everything, one run after another, in folders below `folder`. No seeds: the study's own.
/// Errors: kConfig if the study has nobody to join, no test records, or no folds where they are asked for; kInterrupted;
/// whatever ends one of the runs, which it names.
Comparison compare(const StudyLoader& load, const std::vector<std::uint64_t>& seeds, Folds folds, const std::filesystem::path& folder,
                   const CompareHooks& hooks);

}  // namespace sutura
