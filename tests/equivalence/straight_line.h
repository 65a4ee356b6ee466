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

/// One copy of weights and optimizer for all sites, or one per site. A segment that is handed from site to site is one copy: who
/// holds it makes no difference to what it learns.
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
  std::vector<double> losses;                    ///< mean over the records of each epoch
  std::vector<std::vector<double>> site_losses;  ///< [site]: the same over each site's own records
  std::vector<std::vector<Weights>> copies;      ///< [segment][copy]
  std::vector<std::vector<Weights>> optimizers;  ///< [segment][copy]: the optimizer's tensors by name, and "steps"
  std::int64_t steps = 0;                        ///< updates, over all epochs
};

/// The settings that StudyText writes into a study.
OracleSchedule schedule_of(const StudyText& text, Visit visit = Visit::kTogether);

/// Trains a chain of segments on the records of `sites`.
OracleResult train_straight(std::vector<OracleSegment> segments, const std::vector<SiteData>& sites, const OracleSchedule& s);
/// The same for [front per site, shared tail] with one tail pass over the concatenated activations of a step.
OracleResult train_merged(OracleSegment front, OracleSegment tail, const std::vector<SiteData>& sites, const OracleSchedule& s);
/// One holder of `columns` features of every record; holders lie side by side in the order given.
struct OracleHolder {
  Network front;
  std::int64_t columns = 0;
};
/// A front per holder, a join of their rows, and a chain behind it; one site. Copies in this order.
OracleResult train_vertical(std::vector<OracleHolder> holders, JoinKind join, std::vector<Network> chain, const SiteData& site,
                            const OracleSchedule& s);

}  // namespace sutura::testing
