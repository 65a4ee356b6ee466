#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/config/study.h"
#include "runtime/data/dataset.h"
#include "runtime/topology/plan.h"

namespace sutura {

enum class Split : std::uint8_t { kTrain = 0, kValidation = 1, kTest = 2 };

/// The records of one split of a site.
inline const Dataset& split_of(const SiteData& site, Split s) {
  return s == Split::kTrain ? site.train : s == Split::kValidation ? site.validation : site.test;
}

/// Records of one lane per split, told by every data holder at the start (a declared release).
struct LaneSizes {
  std::int64_t train = 0, validation = 0, test = 0;
  bool present() const { return train > 0; }  ///< a site that is not there has told no records
  std::int64_t of(Split s) const { return s == Split::kTrain ? train : s == Split::kValidation ? validation : test; }
};

/// Records [begin, begin + count) of a lane's order: one micro-batch.
struct Part {
  std::uint32_t lane = 0;
  std::uint32_t micro_batch = 0;
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

/// One step: everything until the next update of any weight. The same at every party.
struct Step {
  std::uint64_t id = 0;  ///< unique in the run
  Purpose purpose = Purpose::kTrain;
  Split split = Split::kTrain;
  std::int64_t epoch = 0;
  std::int64_t index = 0;    ///< counts training steps from 0 over the whole run
  std::int64_t records = 0;  ///< over all parts: the divisor of the mean loss
  std::vector<Part> parts;   ///< by (lane, micro-batch)
};

/// The schedule as a pure function of the study and of the lanes' sizes.
///
/// `training.batch_size` counts the records of a step. With visit: together a step holds records of all lanes, shared in
/// proportion to their sizes, so the number of hospitals does not change the size of an update; each record takes part
/// once per epoch. With in_turn and shuffled a step belongs to one lane. Threads: one (it remembers the last order).
class StepPlanner {
 public:
  StepPlanner(const StudyConfig& study, std::vector<std::string> lanes, std::vector<LaneSizes> sizes);

  std::vector<Step> training(std::int64_t epoch) const;
  /// All records of a split, in file order, at most 256 of a lane per step. `epoch` keeps the ids apart.
  std::vector<Step> pass(Purpose purpose, Split split, std::int64_t epoch) const;
  std::int64_t steps_per_epoch() const;
  std::int64_t total_steps() const { return steps_per_epoch() * study_.training.epochs; }
  /// Position -> record of a part: shuffled anew each epoch for training, file order otherwise.
  std::vector<std::int64_t> records(const Step& step, const Part& part) const;

  const std::vector<LaneSizes>& sizes() const { return sizes_; }
  /// From now on lanes have these sizes; a lane without training records takes part in no step.
  void set_sizes(std::vector<LaneSizes> sizes);
  std::int64_t total(Split split) const;

 private:
  const StudyConfig& study_;
  std::vector<std::string> lanes_;
  std::vector<LaneSizes> sizes_;
  struct Order {
    std::int64_t epoch = -1;
    std::vector<std::int64_t> records;
  };
  mutable std::vector<Order> orders_;  // per lane: the order of the epoch that was asked for last
};

/// Most records of a lane in one step of a pass.
inline constexpr std::int64_t kPassRecords = 256;
/// True if the validation records are evaluated after this epoch (always after the last).
bool evaluates_after(const TrainingConfig& training, std::int64_t epoch);
/// Most releases of any one record that a complete run makes.
std::int64_t planned_releases(const StudyConfig& study, const Plan& plan);

}  // namespace sutura
