#pragma once
#include <string>
#include <vector>

#include "models/losses/loss.h"
#include "models/network.h"
#include "models/optimizers/optimizer.h"
#include "runtime/config/study.h"
#include "tests/equivalence/split_run.h"

/// The oracle: training written straight from layers, loss and optimizer, in the order of the formulas. No plan, no
/// messages, no executor, no step planner. Networks must be without dropout, whose masks hang on the step's number.
namespace sutura::testing {

/// One copy of the weights for all sites, or one per site.
enum class Copies { kOne, kPerSite };
/// Round end: nothing, the mean by training records (McMahan et al. 2017, algorithm 1), or a plain mean (negative control).
enum class RoundEnd { kNothing, kMeanBySamples, kPlainMean };

struct OracleSegment {
  Network network;
  Copies copies = Copies::kOne;
  RoundEnd round_end = RoundEnd::kNothing;
};

struct OracleSchedule {
  Visit visit = Visit::kTogether;
  std::uint64_t seed = 5;
  std::int64_t batch_size = 8;
  std::int64_t micro_batches = 1;
  std::int64_t epochs = 2;
  OptimizerSettings optimizer;
  RateSettings rate;
  std::vector<double> class_weights;  ///< empty: all 1
};

struct OracleResult {
  std::vector<double> losses;                ///< mean over the records of each epoch
  std::vector<std::vector<Weights>> copies;  ///< [segment][copy]
};

/// The settings that StudyText writes into a study.
OracleSchedule schedule_of(const StudyText& text, Visit visit = Visit::kTogether);

/// Trains a chain of segments on the records of `sites`.
OracleResult train_straight(std::vector<OracleSegment> segments, const std::vector<SiteData>& sites, const OracleSchedule& s);
/// The same for [front per site, shared tail] with one tail pass over the concatenated activations of a step.
OracleResult train_merged(OracleSegment front, OracleSegment tail, const std::vector<SiteData>& sites, const OracleSchedule& s);
/// Two fronts on the first `columns` features and on the rest, their rows side by side into the tail; one site.
OracleResult train_vertical(Network first, Network second, Network tail, std::int64_t columns, const SiteData& site,
                            const OracleSchedule& s);

}  // namespace sutura::testing
