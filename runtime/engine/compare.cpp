#include "runtime/engine/compare.h"

#include <algorithm>
#include <cmath>

#include "core/clock.h"
#include "core/error.h"
#include "runtime/data/metrics.h"
#include "runtime/engine/baselines.h"
#include "runtime/engine/study_records.h"
#include "runtime/engine/study_run.h"
#include "runtime/topology/one_place.h"

namespace sutura {
namespace {

std::size_t at(Setting s) { return static_cast<std::size_t>(s); }

void append(Scores& to, const Scores& from) {
  to.values.insert(to.values.end(), from.values.begin(), from.values.end());
  to.labels.insert(to.labels.end(), from.labels.begin(), from.labels.end());
}

/// Test records [begin, begin + count) of a set of scores.
Scores part_of(const Scores& s, std::size_t begin, std::size_t count) {
  require(begin + count <= s.labels.size(), Errc::kInternal, "a pooled run tested fewer records than its sites hold");
  const std::size_t width = s.labels.empty() ? 0 : s.values.size() / s.labels.size();
  const auto cut = [](const std::vector<float>& v, std::size_t from, std::size_t n) {
    return std::vector<float>(v.begin() + static_cast<std::ptrdiff_t>(from), v.begin() + static_cast<std::ptrdiff_t>(from + n));
  };
  return {cut(s.values, begin * width, count * width), cut(s.labels, begin, count)};
}

/// What one seed brings to a row: scores of all its folds.
struct RowOfSeed {
  std::int64_t train = 0, test = 0;  ///< over all folds
  std::array<Scores, 3> scores;

  void add(Setting setting, const Scores& more) { append(scores[at(setting)], more); }
  void add_records(const SiteData& site) {
    train += site.train.size();
    test += site.test.size();
  }
};

class Comparing {
 public:
  Comparing(const StudyLoader& load, Folds folds, const std::filesystem::path& folder, const CompareHooks& hooks)
      : load_(load), all_folds_(folds == Folds::kAll), folder_(folder), hooks_(hooks) {}

  Comparison go(const std::vector<std::uint64_t>& seeds) {
    const auto start = std::chrono::steady_clock::now();
    const LoadedStudy own = load_({});
    begin(own);
    result_.seeds = seeds.empty() ? std::vector<std::uint64_t>{own.config.seed} : seeds;
    runs_ = static_cast<std::int64_t>(result_.seeds.size()) * std::max<std::int64_t>(1, result_.folds) *
            (static_cast<std::int64_t>(names_.size()) + (result_.pooled_is_joint ? 1 : 2));
    for (const std::uint64_t seed : result_.seeds) {
      seed_rows_.assign(names_.size() + 1, {});
      for (std::int64_t fold = 0; fold < std::max<std::int64_t>(1, result_.folds); ++fold) one_split(seed, fold);
      close_seed();
    }
    for (CompareRow& row : result_.rows) {
      const auto n = static_cast<double>(result_.seeds.size());
      row.train_records /= n * static_cast<double>(std::max<std::int64_t>(1, result_.folds));
      row.test_records /= n;
    }
    result_.seconds = seconds_since(start);
    return std::move(result_);
  }

 private:
  void begin(const LoadedStudy& own) {
    const StudyConfig& study = own.config;
    sites_ = joins_sites(study);
    names_ = sites_ ? study.data.sites : feature_holders(study.topology);
    require(names_.size() > 1 || sites_, Errc::kConfig,
            own.finding("topology", "one party holds all features: there is nobody to join, and nothing to compare"));
    require(!all_folds_ || study.data.folds > 1, Errc::kConfig,
            own.finding("data", "the study has no folds to run through", "data: {folds: 5}"));
    result_.study = study.study;
    result_.joins = sites_ ? "sites" : "parties";
    result_.folds = all_folds_ ? study.data.folds : 0;
    result_.pooled_is_joint = !sites_ && hides_nothing(study);
    loss_ = study.training.loss;
    result_.figures = figures_of(loss_, classes_of(study.data));
    for (const std::string& name : names_) result_.rows.push_back({name, 0.0, 0.0, {}});
    result_.rows.push_back({"all " + result_.joins, 0.0, 0.0, {}});
    for (CompareRow& row : result_.rows) row.values.resize(result_.figures.size());
  }

  void one_split(std::uint64_t seed, std::int64_t fold) {
    std::vector<std::string> overrides{"seed=" + std::to_string(seed)};
    std::filesystem::path folder = folder_ / ("seed-" + std::to_string(seed));
    where_ = "seed " + std::to_string(seed);
    if (result_.folds > 0) {
      overrides.push_back("data.fold=" + std::to_string(fold));
      folder /= "fold-" + std::to_string(fold);
      where_ += ", fold " + std::to_string(fold + 1) + " of " + std::to_string(result_.folds);
    }
    const LoadedStudy loaded = load_(overrides);
    const std::vector<SiteData> records = load_study_records(loaded.config);
    const PartyResult joint = run(loaded, records, "joint", folder / "joint");
    if (sites_)
      compare_sites(loaded, records, joint, folder);
    else
      compare_parties(loaded, records, joint, folder);
  }

  void compare_sites(const LoadedStudy& loaded, const std::vector<SiteData>& records, const PartyResult& joint,
                     const std::filesystem::path& folder) {
    RowOfSeed& all = seed_rows_.back();
    for (std::size_t i = 0; i < records.size(); ++i) {
      RowOfSeed& row = seed_rows_[i];
      const auto own = joint.scores.find({static_cast<std::uint32_t>(i), Split::kTest});
      if (own != joint.scores.end()) {
        row.add(Setting::kJoint, own->second);
        all.add(Setting::kJoint, own->second);
      }
      row.add_records(records[i]);
      all.add_records(records[i]);
      if (records[i].test.size() == 0) continue;  // it trains with the others, but has nothing to be tested on
      const Baseline b = site_alone(loaded, records[i]);
      const Scores alone = tested(run(b.loaded, b.sites, "alone " + names_[i], folder / ("alone-" + names_[i])));
      row.add(Setting::kAlone, alone);
      all.add(Setting::kAlone, alone);
    }
    const Baseline b = sites_pooled(loaded, records);
    const Scores pooled = tested(run(b.loaded, b.sites, "pooled", folder / "pooled"));
    all.add(Setting::kPooled, pooled);
    std::size_t begin = 0;
    for (std::size_t i = 0; i < records.size(); ++i) {
      const auto count = static_cast<std::size_t>(records[i].test.size());
      seed_rows_[i].add(Setting::kPooled, part_of(pooled, begin, count));
      begin += count;
    }
  }

  void compare_parties(const LoadedStudy& loaded, const std::vector<SiteData>& records, const PartyResult& joint,
                       const std::filesystem::path& folder) {
    const Scores together = tested(joint);
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const Baseline b = party_alone(loaded, records, names_[i]);
      seed_rows_[i].add_records(b.sites[0]);
      seed_rows_[i].add(Setting::kJoint, together);
      seed_rows_[i].add(Setting::kAlone, tested(run(b.loaded, b.sites, "alone " + names_[i], folder / ("alone-" + names_[i]))));
    }
    RowOfSeed& all = seed_rows_.back();
    all.add_records(records.at(0));
    all.add(Setting::kJoint, together);
    all.add(Setting::kPooled, result_.pooled_is_joint ? together : tested(run(parts_pooled(loaded), records, "pooled", folder / "pooled")));
  }

  PartyResult run(const LoadedStudy& loaded, const std::vector<SiteData>& records, const std::string& what,
                  const std::filesystem::path& folder) {
    RunHooks hooks;
    hooks.stop_requested = hooks_.stop_requested;
    try {
      const Prepared prepared = prepare(loaded, feature_rows(loaded.config, &records.at(0)));
      if (result_.joint_guard.empty()) result_.joint_guard = prepared.statement;  // the first run is a joint one
      PartyResult result = simulate(prepared, records, folder, hooks);
      if (result.interrupted) throw Error(Errc::kInterrupted, "stopped by a signal");
      require(result.test.has_value(), Errc::kConfig,
              loaded.finding("data", "there are no test records: nothing can be compared", "data: {test_fraction: 0.2}"));
      if (hooks_.on_run) {
        Scores all;
        for (const auto& [key, s] : result.scores)
          if (key.second == Split::kTest) append(all, s);
        hooks_.on_run(where_ + ": " + what, figure(result_.figures[0], all, loss_), ++done_, runs_);
      }
      return result;
    } catch (Error& e) {
      if (e.code() != Errc::kConfig) e.in(what + ", " + where_);
      throw;
    }
  }

  /// Test scores of a run with one lane.
  static Scores tested(const PartyResult& result) {
    const auto s = result.scores.find({0, Split::kTest});
    require(s != result.scores.end(), Errc::kInternal, "a run kept no scores of its test records");
    return s->second;
  }

  void close_seed() {
    for (std::size_t r = 0; r < seed_rows_.size(); ++r) {
      const RowOfSeed& seed = seed_rows_[r];
      CompareRow& row = result_.rows[r];
      row.train_records += static_cast<double>(seed.train);
      row.test_records += static_cast<double>(seed.test);
      const auto& labels = seed.scores[at(Setting::kJoint)].labels;
      for (const Setting s : kSettings) {
        const Scores& scores = seed.scores[at(s)];
        require(scores.labels.empty() || scores.labels == labels, Errc::kInternal, "two runs were not tested on the same records");
        for (std::size_t f = 0; f < result_.figures.size(); ++f)
          row.values[f][at(s)].push_back(figure(result_.figures[f], scores, loss_));
      }
    }
  }

  const StudyLoader& load_;
  const bool all_folds_;
  const std::filesystem::path folder_;
  const CompareHooks& hooks_;
  Comparison result_;
  LossKind loss_ = LossKind::kBinaryCrossEntropy;
  bool sites_ = false;
  std::vector<std::string> names_;   // of sites or parties
  std::vector<RowOfSeed> seed_rows_;  // names_, then all
  std::string where_;
  std::int64_t done_ = 0, runs_ = 0;
};

}  // namespace

std::vector<FigureKind> figures_of(LossKind loss, std::int64_t classes) {
  if (loss == LossKind::kMeanSquaredError) return {{"mean_squared_error", FigureKind::Best::kSmallest}};
  if (classes > 2) return {{"auc"}, {"accuracy"}, {"macro_f1"}};
  return {{"auc"}, {"accuracy"}};
}

std::optional<double> figure(const FigureKind& kind, const Scores& scores, LossKind loss) {
  if (scores.labels.empty()) return std::nullopt;
  const Evaluation e = evaluate(scores, nullptr, loss);
  if (kind.name == "auc") return e.auc;
  if (kind.name == "accuracy") return e.accuracy;
  if (kind.name == "mean_squared_error") return e.loss;
  require(kind.name == "macro_f1", Errc::kInternal, "a figure without a formula");
  const std::vector<std::int32_t> labels(scores.labels.begin(), scores.labels.end());
  return macro_f1(scores.values, labels, static_cast<std::int64_t>(scores.values.size() / labels.size()));
}

std::optional<double> gain(const FigureKind& kind, std::optional<double> joint, std::optional<double> alone) {
  if (!joint || !alone) return std::nullopt;
  return kind.best == FigureKind::Best::kLargest ? *joint - *alone : *alone - *joint;
}

MeanSd mean_sd(const std::vector<std::optional<double>>& values) {
  MeanSd m;
  double sum = 0.0, square = 0.0;
  for (const auto& v : values)
    if (v) {
      sum += *v;
      ++m.n;
    }
  if (m.n == 0) return m;
  m.mean = sum / static_cast<double>(m.n);
  for (const auto& v : values)
    if (v) square += (*v - *m.mean) * (*v - *m.mean);
  if (m.n > 1) m.sd = std::sqrt(square / static_cast<double>(m.n - 1));
  return m;
}

Comparison compare(const StudyLoader& load, const std::vector<std::uint64_t>& seeds, Folds folds, const std::filesystem::path& folder,
                   const CompareHooks& hooks) {
  return Comparing(load, folds, folder, hooks).go(seeds);
}

}  // namespace sutura
