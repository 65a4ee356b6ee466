#include <algorithm>

#include "runtime/engine/executor_slots.h"

// Which instruction of which step runs when, and the updates.
namespace sutura {
namespace {

RateSettings rate_settings(const TrainingConfig& t) {
  return {t.learning_rate, t.rate_schedule, t.warmup_fraction, t.step_epochs, t.step_factor};
}

std::int64_t stale_of(const StudyConfig& study, Purpose purpose) { return purpose == Purpose::kTrain ? study.training.stale : 0; }

}  // namespace

StepResult Executor::run(const Step& step) {
  require(in_flight_.empty() || step.purpose == Purpose::kTrain, Errc::kInternal,
          "a pass was begun while training steps were in flight");
  in_flight_.push_back(std::make_unique<InFlight>(step, now_));
  begin_recording(*in_flight_.back());
  return advance();
}

std::vector<StepResult> Executor::finish() {
  std::vector<StepResult> results;
  while (!in_flight_.empty())
    if (const StepResult r = advance(); r.ended()) results.push_back(r);
  return results;
}

void Executor::abandon() {
  in_flight_.clear();
  for (auto& [segment, all] : copies_)
    for (SegmentCopy& c : all) c.params.zero_grads(ctx_);
}

/// One beat: each turn of the program, on the step that is due for it.
StepResult Executor::advance() {
  const Purpose purpose = in_flight_.front()->step.purpose;
  const std::size_t turns = setup_.plan.program(setup_.self.party, purpose).turns.size();
  const std::int64_t stale = stale_of(setup_.study, purpose);
  for (std::size_t j = 0; j < turns; ++j)
    for (const auto& flight : in_flight_)
      if (flight->begun == now_ - lag_of_turn(j, turns, stale)) run_turn(*flight, j);
  const std::int64_t last = turns == 0 ? 0 : lag_of_turn(turns - 1, turns, stale);
  const bool ends = in_flight_.front()->begun + last <= now_;
  ++now_;
  if (!ends) return {};
  const std::unique_ptr<InFlight> flight = std::move(in_flight_.front());
  in_flight_.pop_front();
  place_.round = flight->step.epoch;  // also where this party has nothing to do in steps: what comes between them has a place
  place_.step = flight->step.id;
  return end(*flight);
}

void Executor::run_turn(InFlight& flight, std::size_t turn) {
  const auto& instructions = setup_.plan.program(setup_.self.party, flight.step.purpose).turns[turn];
  place_.round = flight.step.epoch;
  place_.step = flight.step.id;
  for (std::size_t p = 0; p < flight.step.parts.size(); ++p) {
    if (!serves(flight.step.parts[p])) continue;
    Work w{flight, p};
    if (!active_[w.part().lane] && !w.is_void()) make_void(w);
    for (std::size_t n = 0; n < instructions.size(); ++n) {
      const std::size_t end = ctx_.on_device() ? span_end(instructions, n) : n;
      if (end == n) {
        attempt(turn, n, w);
        continue;
      }
      // What comes in does not wait for what is computed, so that all of the computation is one span.
      for (std::size_t k = n; k < end; ++k)
        if (!is_computed(instructions[k].op)) attempt(turn, k, w);
      if (!w.is_void()) attempt_span(turn, n, end, w);
      n = end - 1;
    }
  }
  place_.turn = place_.part = place_.instruction = -1;
}

void Executor::attempt(std::size_t turn, std::size_t n, Work& w) {
  const Instruction& i = setup_.plan.program(setup_.self.party, w.step().purpose).turns[turn][n];
  place_.turn = static_cast<int>(turn);
  place_.part = static_cast<int>(w.index);
  place_.instruction = static_cast<int>(n);
  try {
    repeat_departure(i, w);
    carry_out(turn, n, w);
  } catch (const PeerLost& lost) {
    lose(i, w, lost);
  }
}

void Executor::carry_out(std::size_t turn, std::size_t n, Work& w) {
  const Instruction& i = setup_.plan.program(setup_.self.party, w.step().purpose).turns[turn][n];
  const bool to_peer = i.op == OpCode::kSend || i.op == OpCode::kReceive || i.op == OpCode::kRelease;
  if (to_peer && !reachable(edge_of(i), w.part().lane)) return go_without(i, w);
  if (w.ahead().done.erase({turn, n}) > 0) return;
  if (!w.is_void()) return execute(i, w);
  if (i.op == OpCode::kSend) send_void(i, w);
  if (i.op == OpCode::kReceive) discard(i, w);
}

StepResult Executor::end(InFlight& flight) {
  StepResult r;
  r.loss = flight.loss;
  r.index = flight.step.index;
  r.step_records = flight.step.records;
  for (std::size_t p = 0; p < flight.step.parts.size(); ++p)
    if (serves(flight.step.parts[p]) && !flight.voided[p]) r.records += flight.step.parts[p].count;
  if (flight.step.purpose == Purpose::kTrain) update(flight);
  end_recording(flight);
  return r;
}

void Executor::update(InFlight& flight) {
  const Step& step = flight.step;
  const double rate =
      rate_at(rate_settings(setup_.study.training), step.index, setup_.planner.total_steps(), setup_.planner.steps_per_epoch());
  // A dropped step is one for everybody: every party has seen at least one void part of it.
  const bool any_void = std::ranges::find(flight.voided, true) != flight.voided.end();
  const bool all_or_nothing = setup_.plan.many_party < 0 && setup_.study.schedule.missing_party == MissingParty::kDropStep;
  const bool dropped = flight.dropped || (all_or_nothing && any_void);
  for (auto& [segment, all] : copies_)
    for (std::size_t c = 0; c < all.size(); ++c) {
      if (all[c].optimizer == nullptr) continue;
      bool took_part = false, spoiled = false;
      for (std::size_t p = 0; p < step.parts.size(); ++p) {
        if (!serves(step.parts[p]) || (all.size() > 1 && step.parts[p].lane != c)) continue;
        took_part = took_part || !flight.voided[p];
        spoiled = spoiled || flight.spoiled[p];
      }
      if (auto stashed = flight.stashed.extract({segment, c}); !stashed.empty()) {
        Tensor grads = all[c].params.grads_on(ctx_);  // [trained]
        ctx_.copy(stashed.mapped().grads_on(ctx_), grads);
        spare_stashes_[segment].push_back(std::move(stashed.mapped()));
      }
      if (took_part && !dropped && !spoiled) take_step(segment, c, rate);
      all[c].params.zero_grads(ctx_);  // also where a lane was lost after its backward: nothing of it stays behind
    }
}

std::size_t Executor::copy_index(const std::string& segment, std::uint32_t lane) {
  return copies(segment).size() == 1 ? 0 : lane;
}

/// Keeps the weights of this step's first forward: its backward comes after updates of earlier steps.
void Executor::stash(const std::string& segment, Work& w) {
  const std::size_t turns = setup_.plan.program(setup_.self.party, Purpose::kTrain).turns.size();
  const std::pair key{segment, copy_index(segment, w.part().lane)};
  const SegmentCopy& copy = copies(segment)[key.second];
  if (setup_.study.training.stale == 0 || turns < 2 || copy.optimizer == nullptr || w.flight.stashed.contains(key)) return;
  auto& spare = spare_stashes_[segment];
  ParamStore kept;
  if (spare.empty()) {
    kept = setup_.segments.networks[setup_.segments.index(segment)].make_params(setup_.study.seed);
  } else {
    kept = std::move(spare.back());
    spare.pop_back();
  }
  kept.assign_trained(ctx_, copy.params);
  kept.zero_grads(ctx_);
  w.flight.stashed.emplace(key, std::move(kept));
}

/// The weights that a step's backward uses, and the gradients that it adds to.
ParamStore& Executor::params_of(const std::string& segment, Work& w) {
  const std::size_t c = copy_index(segment, w.part().lane);
  const auto stashed = w.flight.stashed.find({segment, c});
  return stashed == w.flight.stashed.end() ? copies(segment)[c].params : stashed->second;
}

}  // namespace sutura
