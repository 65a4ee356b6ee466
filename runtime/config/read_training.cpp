#include "runtime/config/sections.h"

namespace sutura {
namespace {

/// What is best decides what `keep: best` keeps and when training ends early: one figure for both.
void read_best(Section& section, TrainingConfig& training) {
  static constexpr Choice<Keep> kKeep[] = {{"last", Keep::kLast}, {"best", Keep::kBest}};
  static constexpr Choice<StopMetric> kMetrics[] = {{"loss", StopMetric::kLoss}, {"auc", StopMetric::kAuc}};
  section.choice({"keep", "Whose weights the run ends with: the `last` epoch's, or those of the `best` validation pass."}, kKeep,
                 training.keep);
  section.choice({"best_by", "Validation figure that says which pass is best, for `keep: best` and for `early_stopping`."},
                 kMetrics, training.stop_metric);
  Section early = section.section_or_defaults({"early_stopping", "Ends training when validation no longer gets better."});
  early.integer({"patience", "Passes in a row without a better figure after which training ends; 0: never early.",
                 Need::kOptional, Scope::kShared, "validation passes"},
                {0, 1'000'000}, training.patience);
  early.number({"min_delta", "By how much a figure must be better to count; `keep: best` takes any that is better."},
               {.at_least = 0}, training.min_delta);
  if (section.describes()) return;
  const bool keeps = training.keep == Keep::kBest, stops = training.patience > 0;
  const bool switched = section.overridden("keep") || early.overridden("patience");
  if (section.has("best_by") && !keeps && !stops && !switched)
    section.error_at("best_by", "training.best_by belongs to keep: best or early_stopping");
  if (early.has("min_delta") && !stops && !early.overridden("patience"))
    early.error_at("min_delta", "training.early_stopping.min_delta needs training.early_stopping.patience");
  if ((keeps || stops) && training.evaluate_every == 0)
    section.error_at("evaluate_every",
                     std::string("training.evaluate_every must be at least 1 with ") + (keeps ? "keep: best" : "early_stopping"));
  if ((keeps || stops) && training.stop_metric == StopMetric::kAuc && training.loss == LossKind::kMeanSquaredError)
    section.error_at("best_by", "training.best_by auc needs classes, and mean_squared_error has none", "use loss");
}

}  // namespace

void read_training(Section& root, TrainingConfig& training) {
  static constexpr Choice<LossKind> kLosses[] = {{"binary_cross_entropy", LossKind::kBinaryCrossEntropy},
                                                 {"cross_entropy", LossKind::kCrossEntropy},
                                                 {"mean_squared_error", LossKind::kMeanSquaredError}};
  static constexpr Choice<OptimizerKind> kOptimizers[] = {{"sgd", OptimizerKind::kSgd}, {"adamw", OptimizerKind::kAdamW}};
  static constexpr Choice<RateSchedule> kSchedules[] = {
      {"constant", RateSchedule::kConstant}, {"step", RateSchedule::kStep}, {"cosine", RateSchedule::kCosine}};

  const auto found = root.section({"training", "The loss, the optimizer and how long.", Need::kRequired});
  if (!found) return;
  Section section = *found;
  std::optional<LossKind> loss;
  section.choice({"loss", "What training minimises.", Need::kRequired}, kLosses, loss);
  training.loss = loss.value_or(training.loss);
  section.integer({"epochs", "Passes over the data."}, {1, 1'000'000}, training.epochs);
  section.integer({"batch_size", "Records of one step; with `visit: together` shared among the sites by size.", Need::kOptional,
                   Scope::kShared, "records"},
                  {1, 1'000'000}, training.batch_size);
  section.integer({"micro_batches", "Parts of a site's share that may be in flight at once; one update for all."}, {1, 4096},
                  training.micro_batches);
  section.integer(
      {"stale", "Steps that may begin before the updates of earlier ones are in: declared staleness, said in the summary.",
       Need::kOptional, Scope::kShared, "steps"},
      {0, 64}, training.stale);
  section.numbers(
      {"class_weights", "Weight of each class in the loss, in class order.", Need::kOptional, Scope::kShared, {}, "all 1"},
      {.above = 0}, training.class_weights);
  Section optimizer = section.section_or_defaults({"optimizer", "How weights follow gradients."});
  optimizer.choice({"name", "As PyTorch's SGD and AdamW."}, kOptimizers, training.optimizer);
  optimizer.number({"learning_rate", "Step size at the top of the rate schedule."}, {.above = 0}, training.learning_rate);
  optimizer.number({"momentum", "Of `sgd`."}, {.at_least = 0, .below = 1}, training.momentum);
  optimizer.number({"weight_decay", "L2 of `sgd`, decoupled decay of `adamw`."}, {.at_least = 0}, training.weight_decay);
  section.number({"clip_gradients", "Largest norm of a segment's gradient; 0 is off."}, {.at_least = 0}, training.clip_gradients);
  Section rate = section.section_or_defaults({"rate", "The learning rate over time."});
  rate.choice({"schedule", "`step`: drops; `cosine`: down to 0 at the end."}, kSchedules, training.rate_schedule);
  rate.number({"warmup_fraction", "Share of all steps with a linear ramp."}, {.at_least = 0, .at_most = 1},
              training.warmup_fraction);
  rate.integer({"step_epochs", "Of `step`: time between drops.", Need::kOptional, Scope::kShared, "epochs"}, {1, 1'000'000},
               training.step_epochs);
  rate.number({"step_factor", "Of `step`: what a drop leaves."}, {.above = 0, .at_most = 1}, training.step_factor);
  section.integer(
      {"evaluate_every", "Time between validation passes; 0: only at the end.", Need::kOptional, Scope::kShared, "epochs"},
      {0, 1'000'000}, training.evaluate_every);
  read_best(section, training);
  if (section.describes()) return;
  if (training.micro_batches > training.batch_size)
    section.error_at("micro_batches", "training.micro_batches must not be larger than training.batch_size (" +
                                          std::to_string(training.batch_size) + ")");
  // A setting that would be ignored is a mistake, unless the command line has just switched the setting that uses it.
  if (optimizer.has("momentum") && training.optimizer != OptimizerKind::kSgd && !optimizer.overridden("name"))
    optimizer.error_at("momentum", "training.optimizer.momentum belongs to sgd", "adamw has its own fixed betas");
  for (const char* name : {"step_epochs", "step_factor"})
    if (rate.has(name) && training.rate_schedule != RateSchedule::kStep && !rate.overridden("schedule"))
      rate.error_at(name, rate.path_of(name) + " belongs to the schedule step");
}

}  // namespace sutura
