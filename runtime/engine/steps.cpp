#include "runtime/engine/steps.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "core/random/philox.h"
#include "runtime/data/batches.h"

namespace sutura {
namespace {

std::uint64_t step_id(Purpose purpose, Split split, std::int64_t epoch, std::int64_t index) {
  return static_cast<std::uint64_t>(purpose) << 60 | static_cast<std::uint64_t>(split) << 56 |
         static_cast<std::uint64_t>(epoch) << 32 | static_cast<std::uint64_t>(index);
}

/// Appends the micro-batches of [begin, end); parts differ by at most one record, empty ones are left out.
void add_parts(std::vector<Part>& parts, std::uint32_t lane, std::int64_t begin, std::int64_t end, std::int64_t pieces) {
  const std::int64_t n = end - begin;
  std::uint32_t micro_batch = 0;
  for (std::int64_t m = 0; m < pieces; ++m) {
    const std::int64_t from = begin + n * m / pieces;
    const std::int64_t to = begin + n * (m + 1) / pieces;
    if (to > from) parts.push_back({lane, micro_batch++, from, to - from});
  }
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

StepPlanner::StepPlanner(const StudyConfig& study, std::vector<std::string> lanes, std::vector<LaneSizes> sizes)
    : study_(study), lanes_(std::move(lanes)) {
  set_sizes(std::move(sizes));
}

void StepPlanner::set_sizes(std::vector<LaneSizes> sizes) {
  require(lanes_.size() == sizes.size(), Errc::kInternal, "one size per lane");
  for (std::size_t l = 0; l < lanes_.size(); ++l)
    require(sizes[l].present() || (sizes[l].validation == 0 && sizes[l].test == 0), Errc::kData,
            "site '" + lanes_[l] + "' has no training records");
  sizes_ = std::move(sizes);
  orders_.assign(lanes_.size(), Order{});
}

std::int64_t StepPlanner::total(Split split) const {
  std::int64_t n = 0;
  for (const LaneSizes& s : sizes_) n += s.of(split);
  return n;
}

std::int64_t StepPlanner::steps_per_epoch() const {
  const std::int64_t batch = study_.training.batch_size;
  if (study_.schedule.visit == Visit::kTogether) return ceil_div(total(Split::kTrain), batch);
  std::int64_t steps = 0;
  for (const LaneSizes& s : sizes_) steps += ceil_div(s.train, batch);
  return steps;
}

std::vector<Step> StepPlanner::training(std::int64_t epoch) const {
  std::vector<Step> steps;
  const std::int64_t first = epoch * steps_per_epoch();
  const auto add = [&](Step step) {
    step.epoch = epoch;
    const auto index = static_cast<std::int64_t>(steps.size());
    step.id = step_id(Purpose::kTrain, Split::kTrain, epoch, index);
    step.index = first + index;
    for (const Part& p : step.parts) step.records += p.count;
    steps.push_back(std::move(step));
  };
  if (study_.schedule.visit == Visit::kTogether) {
    const std::int64_t count = steps_per_epoch();
    for (std::int64_t t = 0; t < count; ++t) {
      Step step;
      for (std::size_t l = 0; l < sizes_.size(); ++l)
        add_parts(step.parts, static_cast<std::uint32_t>(l), sizes_[l].train * t / count, sizes_[l].train * (t + 1) / count,
                  study_.training.micro_batches);
      add(std::move(step));
    }
    return steps;
  }
  std::vector<std::int64_t> order(sizes_.size());
  std::iota(order.begin(), order.end(), 0);
  if (study_.schedule.visit == Visit::kShuffled)
    order = permutation(static_cast<std::int64_t>(sizes_.size()),
                        PhiloxStream(study_.seed, "visit", static_cast<std::uint64_t>(epoch)));
  for (const std::int64_t lane : order) {
    const std::int64_t n = sizes_[static_cast<std::size_t>(lane)].train;
    const std::int64_t count = ceil_div(n, study_.training.batch_size);
    for (std::int64_t t = 0; t < count; ++t) {
      Step step;
      add_parts(step.parts, static_cast<std::uint32_t>(lane), n * t / count, n * (t + 1) / count,
                study_.training.micro_batches);
      add(std::move(step));
    }
  }
  return steps;
}

std::vector<Step> StepPlanner::pass(Purpose purpose, Split split, std::int64_t epoch) const {
  std::int64_t longest = 0;
  for (const LaneSizes& s : sizes_) longest = std::max(longest, s.of(split));
  std::vector<Step> steps;
  for (std::int64_t begin = 0; begin < longest; begin += kPassRecords) {
    Step step;
    step.purpose = purpose;
    step.split = split;
    step.epoch = epoch;
    step.id = step_id(purpose, split, epoch, static_cast<std::int64_t>(steps.size()));
    for (std::size_t l = 0; l < sizes_.size(); ++l)
      add_parts(step.parts, static_cast<std::uint32_t>(l), begin, std::min(begin + kPassRecords, sizes_[l].of(split)), 1);
    for (const Part& p : step.parts) step.records += p.count;
    steps.push_back(std::move(step));
  }
  return steps;
}

std::vector<std::int64_t> StepPlanner::records(const Step& step, const Part& part) const {
  std::vector<std::int64_t> index(static_cast<std::size_t>(part.count));
  std::iota(index.begin(), index.end(), part.begin);
  if (step.purpose != Purpose::kTrain) return index;
  Order& order = orders_[part.lane];
  if (order.epoch != step.epoch)
    order = {step.epoch, epoch_order(sizes_[part.lane].train, study_.seed, lanes_[part.lane], step.epoch)};
  for (std::int64_t& i : index) i = order.records[static_cast<std::size_t>(i)];
  return index;
}

bool evaluates_after(const TrainingConfig& training, std::int64_t epoch) {
  const std::int64_t every = training.evaluate_every;
  return epoch + 1 == training.epochs || (every > 0 && (epoch + 1) % every == 0);
}

std::int64_t planned_releases(const StudyConfig& study, const Plan& plan) {
  if (plan.release_once) return releases_per_record(plan);
  std::int64_t validations = 0;
  for (std::int64_t e = 0; e < study.training.epochs; ++e) validations += evaluates_after(study.training, e) ? 1 : 0;
  std::int64_t most = 1;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
    std::int64_t rows = 0, gradients = 0;  // guarded legs on which this party releases
    for (const Edge& e : plan.edges) {
      rows += e.from_party == static_cast<int>(p) && e.activation_guard != GuardKind::kNone ? 1 : 0;
      gradients += e.to_party == static_cast<int>(p) && e.gradient_guard != GuardKind::kNone ? 1 : 0;
    }
    most = std::max({most, study.training.epochs * (rows + gradients), validations * rows});
  }
  return most;
}

}  // namespace sutura
