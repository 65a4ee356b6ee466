#include <algorithm>

#include "kernels/ops/dropout/dropout.h"
#include "models/draw_words.h"
#include "runtime/engine/executor_slots.h"
#include "runtime/engine/wire_values.h"

// Computation on a device: an instruction that computes only queues work, and what a party computes between two sends is one span,
// which StepGraphs may record and replay. What a span takes from the host is put into its ports before, and what the host wants of
// it is copied to pinned memory at its end.
//
// While a part is computed, what the next part takes in is taken in as far as it is there, and copied beside the computation.
//
// Not recorded: what differs from step to step (a release and its gradient, rounding residuals), and the update: what may cancel
// it, a peer lost while its gradient is sent, is known after the span.
namespace sutura {

using Manner = StepGraphs::Manner;

namespace {

/// Words of random draws in a span's own memory, filled before each replay.
class SpanDraws final : public DrawWords {
 public:
  SpanDraws(Span& span, Manner manner, Staging& staging, StepGraphs* graphs)
      : span_(span), manner_(manner), staging_(staging), graphs_(graphs) {}
  Tensor words(Context& ctx, std::uint64_t seed, const std::string& stream, std::uint64_t index) override {
    if (manner_ != Manner::kRecord) {
      Tensor words = ctx.tensor({4}, DType::kInt32);
      staging_.copy(dropout_words({seed, stream, index}).bytes(), words);
      return words;
    }
    span_.draws.push_back({seed, stream, graphs_->fixed({4}, DType::kInt32)});
    return Tensor::borrow(span_.draws.back().words);
  }
  void fill(std::uint64_t step) {
    for (Span::Draw& d : span_.draws) staging_.copy(dropout_words({d.seed, d.stream, step}).bytes(), d.words);
  }

 private:
  Span& span_;
  Manner manner_;
  Staging& staging_;
  StepGraphs* graphs_;
};

}  // namespace

/// Steps that overlap would replay over each other's memory, and what replaces a lost party has no recorded place.
bool Executor::may_record() const {
  const std::size_t turns = setup_.plan.program(setup_.self.party, Purpose::kTrain).turns.size();
  const bool overlaps = setup_.study.training.stale > 0 && turns > 1;
  const MissingParty policy = setup_.study.schedule.missing_party;
  const bool replaces = setup_.plan.many_party < 0 && (policy == MissingParty::kRunningMean || policy == MissingParty::kZero);
  return setup_.recording == Recording::kOn && !overlaps && !replaces;
}

std::int64_t Executor::replays() const { return graphs_ == nullptr ? 0 : graphs_->replays(); }

void Executor::begin_recording(InFlight& flight) {
  if (graphs_ == nullptr) return;
  StepGraphs::Key key{static_cast<std::int64_t>(flight.step.purpose), flight.step.records};
  for (const Part& p : flight.step.parts) {
    key.insert(key.end(), {serves(p) ? 1 : 0, p.lane, p.micro_batch, p.count, active_[p.lane] ? 1 : 0});
    flight.active_at_start.push_back(active_[p.lane]);
  }
  for (const bool missing : missing_) key.push_back(missing ? 1 : 0);
  staging_->begin_step();
  flight.kind = graphs_->kind(key);
  flight.manner = flight.kind == nullptr ? Manner::kEager : flight.kind->next;
}

void Executor::end_recording(InFlight& flight) {
  if (flight.kind == nullptr) return;
  bool lost = false;  // since the step began: what was void then is part of its kind
  for (std::size_t p = 0; p < flight.step.parts.size(); ++p)
    lost = lost || (flight.voided[p] && serves(flight.step.parts[p]) && flight.active_at_start[p]);
  flight.slots.clear();
  graphs_->end(*flight.kind, flight.manner, lost ? StepGraphs::Parts::kSomeLost : StepGraphs::Parts::kAll);
}

std::size_t span_end(const std::vector<Instruction>& instructions, std::size_t begin) {
  std::size_t end = begin;
  for (std::size_t n = begin; n < instructions.size(); ++n) {
    const OpCode op = instructions[n].op;
    if (is_computed(op))
      end = n + 1;
    else if (op != OpCode::kLoad && op != OpCode::kReceive && op != OpCode::kFetch)
      break;
  }
  return end;
}

void Executor::attempt_span(std::size_t turn, std::size_t begin, std::size_t end, Work& w) {
  const auto& all = setup_.plan.program(setup_.self.party, w.step().purpose).turns[turn];
  place_.turn = static_cast<int>(turn);
  place_.part = static_cast<int>(w.index);
  try {
    run_span(turn, begin, end, w);
    look_ahead(turn, w);
    settle_span(turn, begin, end, w);
  } catch (const PeerLost& lost) {
    lose(all[static_cast<std::size_t>(place_.instruction)], w, lost);
  }
}

Span& Executor::span_of(const Work& w, std::size_t turn, std::size_t begin, Span& passing) {
  const bool kept = w.flight.manner == Manner::kRecord || w.flight.manner == Manner::kReplay;
  return kept ? w.flight.kind->spans[{w.index, turn, begin}] : passing;
}

/// Brings to the device what a span takes from the host, as far as it is there and has not been brought yet.
void Executor::stage(std::size_t turn, std::size_t begin, std::size_t end, Span& span, Work& w) {
  const auto& all = setup_.plan.program(setup_.self.party, w.step().purpose).turns[turn];
  for (auto& [at, raw] : w.slots().raw)
    for (std::size_t k = raw.tensors.size(); k < raw.wire.size(); ++k) {
      const SlotName name{SlotName::Kind::kRaw, at.first, static_cast<int>(16 * static_cast<std::size_t>(at.second) + k)};
      raw.tensors.push_back(bring(raw.wire[k].data, raw.wire[k].shape, raw.wire[k].dtype, name, span, w));
    }
  for (std::size_t n = begin; n < end; ++n)
    if (is_computed(all[n].op)) bring_inputs(all[n], span, w);
}

/// Takes in what the next part of the turn begins with, as far as it is there, while this part is computed. Whatever is wrong with
/// it is left to that part's own time, so that a peer is lost at the same place as without this.
void Executor::look_ahead(std::size_t turn, const Work& w) {
  const auto& parts = w.step().parts;
  std::size_t p = w.index + 1;
  while (p < parts.size() && !serves(parts[p])) ++p;
  if (p == parts.size() || w.flight.voided[p] || !active_[parts[p].lane]) return;
  Work next{w.flight, p};
  const auto& all = setup_.plan.program(setup_.self.party, w.step().purpose).turns[turn];
  const std::size_t end = span_end(all, 0);
  bool took = false;
  for (std::size_t n = 0; n < end; ++n) {
    if (is_computed(all[n].op) || next.ahead().done.contains({turn, n})) continue;
    if (all[n].op != OpCode::kReceive)
      execute(all[n], next);
    else if (!receive_ahead(all[n], next))
      return;
    next.ahead().done.insert({turn, n});
    took = true;
  }
  if (took) ++taken_ahead_;
  if (end == 0) return;
  Span passing;
  stage(turn, 0, end, span_of(next, turn, 0, passing), next);
}

void Executor::run_span(std::size_t turn, std::size_t begin, std::size_t end, Work& w) {
  const auto& all = setup_.plan.program(setup_.self.party, w.step().purpose).turns[turn];
  InFlight& flight = w.flight;
  Slots& slots = w.slots();
  Span passing;
  Span& span = span_of(w, turn, begin, passing);
  std::vector<std::size_t> computed;
  for (std::size_t n = begin; n < end; ++n)
    if (is_computed(all[n].op)) computed.push_back(n);
  place_.instruction = static_cast<int>(computed.front());
  stage(turn, begin, end, span, w);
  for (const std::size_t n : computed) bring_parameters(all[n], w);
  staging_->join();
  SpanDraws draws(span, flight.manner, *staging_, graphs_.get());
  w.draws = &draws;
  const auto work = [&] {
    decode_raw(w);
    for (const std::size_t n : computed) execute(all[n], w);
    encode_sends(turn, end, w);
  };
  if (flight.manner == Manner::kReplay) draws.fill(w.step().id);
  if (flight.kind == nullptr)
    work();
  else
    graphs_->run(*flight.kind, flight.manner, span, work);
  if (flight.manner == Manner::kRecord) {
    draws.fill(w.step().id);
    span.work.replay(ctx_.stream().stream());
  }
  w.draws = nullptr;
  if (flight.manner == Manner::kRecord) remember(span, slots);
  if (flight.manner == Manner::kReplay) recall(span, slots);
}

/// What the host wants of a span that was queued.
void Executor::settle_span(std::size_t turn, std::size_t begin, std::size_t end, Work& w) {
  const auto& all = setup_.plan.program(setup_.self.party, w.step().purpose).turns[turn];
  for (std::size_t n = begin; n < end; ++n) {
    if (!is_computed(all[n].op)) continue;
    place_.instruction = static_cast<int>(n);
    if (all[n].op == OpCode::kLoss) read_loss(w);
    repeat_departure(all[n], w);
  }
}

/// What a recording leaves: later instructions of the step find it at the same place at every replay.
void Executor::remember(Span& span, Slots& slots) {
  const auto keep = [&](const SlotName& name, const Tensor& t) {
    if (t.place() == Tensor::Place::kDevice) span.left[name] = Tensor::borrow(t);
  };
  for (const auto& [node, t] : slots.values) keep({SlotName::Kind::kValue, node}, t);
  for (const auto& [edge, t] : slots.received) keep({SlotName::Kind::kReceived, edge}, t);
  for (const auto& [key, t] : slots.grads) keep({SlotName::Kind::kGradient, key.first, key.second}, t);
  const auto keep_pinned = [](Tensor& t) {
    Tensor own = std::move(t);
    t = Tensor::borrow(own);
    return own;
  };
  for (auto& [at, tensors] : slots.encoded)
    for (Tensor& t : tensors) span.encoded[at].push_back(keep_pinned(t));
  if (slots.loss.defined()) span.loss = keep_pinned(slots.loss);
  if (slots.outputs.defined()) span.outputs = keep_pinned(slots.outputs);
}

void Executor::recall(const Span& span, Slots& slots) {
  slots.raw.clear();
  slots.grads.clear();
  for (const auto& [name, t] : span.left) {
    if (name.kind == SlotName::Kind::kValue) slots.values[name.at] = Tensor::borrow(t);
    if (name.kind == SlotName::Kind::kReceived) slots.received[name.at] = Tensor::borrow(t);
    if (name.kind == SlotName::Kind::kGradient) slots.grads[{name.at, name.second}] = Tensor::borrow(t);
  }
  for (const auto& [at, tensors] : span.encoded)
    for (const Tensor& t : tensors) slots.encoded[at].push_back(Tensor::borrow(t));
  if (span.loss.defined()) slots.loss = Tensor::borrow(span.loss);
  if (span.outputs.defined()) slots.outputs = Tensor::borrow(span.outputs);
}

/// Weights that were changed on the host since (an average, a segment handed on) go to the device before the work that reads them,
/// never inside a recording.
void Executor::bring_parameters(const Instruction& i, Work& w) {
  if (i.op != OpCode::kForward && i.op != OpCode::kBackward) return;
  params_of(setup_.plan.topology.nodes[static_cast<std::size_t>(i.node)].segment, w).refresh(ctx_);
}

void Executor::bring_inputs(const Instruction& i, Span& span, Work& w) {
  Slots& slots = w.slots();
  const Wiring& wiring = setup_.plan.wiring[static_cast<std::size_t>(i.node)];
  const auto bring_value = [&](int node, int route) {
    for (auto& [edge, value] : slots.received)
      if (setup_.plan.edges[static_cast<std::size_t>(edge)].route == route)
        return bring(value, {SlotName::Kind::kReceived, edge}, span, w);
    // A value that a span makes is not there yet.
    if (const auto it = slots.values.find(node); it != slots.values.end())
      bring(it->second, {SlotName::Kind::kValue, node}, span, w);
  };
  switch (i.op) {
    case OpCode::kForward: bring_value(wiring.inputs[0], wiring.routes[0]); break;
    case OpCode::kJoin:
      for (std::size_t k = 0; k < wiring.inputs.size(); ++k) bring_value(wiring.inputs[k], wiring.routes[k]);
      break;
    case OpCode::kLoss: {
      bring_value(wiring.inputs[0], wiring.routes[0]);
      if (!slots.labels.defined())
        slots.labels = ctx_.host(Tensor::borrow(input(wiring.labels, wiring.label_route, slots))).clone();  // for scores
      bring_value(wiring.labels, wiring.label_route);
      break;
    }
    default:
      for (auto& [key, grad] : slots.grads)
        if (key.first == i.node) bring(grad, {SlotName::Kind::kGradient, key.first, key.second}, span, w);
  }
}

void Executor::bring(Tensor& t, const SlotName& name, Span& span, Work& w) {
  if (t.place() == Tensor::Place::kDevice) return;
  t = bring(t.bytes(), t.shape(), t.dtype(), name, span, w);
}

Tensor Executor::bring(ByteSpan bytes, const Shape& shape, DType dtype, const SlotName& name, Span& span, Work& w) {
  const Manner manner = w.flight.manner;
  if (manner == Manner::kReplay) {
    const auto port = span.ports.find(name);
    require(port != span.ports.end() && port->second.shape() == shape && port->second.dtype() == dtype, Errc::kInternal,
            "a recorded step met a value that it was not recorded with");
    staging_->copy_ahead(bytes, port->second);
    return Tensor::borrow(port->second);
  }
  if (manner == Manner::kEager) {
    Tensor there = ctx_.tensor(shape, dtype);
    staging_->copy(bytes, there);
    return there;
  }
  Tensor& port = w.flight.ports.emplace_back(graphs_->port(shape, dtype));
  staging_->copy_ahead(bytes, port);
  if (manner == Manner::kRecord) span.ports[name] = Tensor::borrow(port);
  return Tensor::borrow(port);
}

void Executor::decode_raw(Work& w) {
  Slots& slots = w.slots();
  for (auto& [at, raw] : slots.raw) {
    const Edge& edge = setup_.plan.edges[static_cast<std::size_t>(at.first)];
    Tensor value = decoded(ctx_, edge, at.second, std::move(raw.tensors));
    if (at.second == Leg::kForward)
      slots.received[at.first] = std::move(value);
    else
      add_gradient(edge.from, edge.to, std::move(value), slots);
  }
  slots.raw.clear();
}

/// A copy in pinned memory, which is there once the stream has come that far.
Tensor Executor::fetched(const Tensor& t) {
  Tensor pinned = ctx_.pinned(t.shape(), t.dtype());
  if (t.bytes_size() > 0) ctx_.stream().runtime().copy_to_host(ctx_.stream().stream(), pinned.data(), t.data(), t.bytes_size());
  return pinned;
}

/// Messages that follow the span at once are encoded in it.
void Executor::encode_sends(std::size_t turn, std::size_t end, Work& w) {
  const auto& all = setup_.plan.program(setup_.self.party, w.step().purpose).turns[turn];
  Slots& slots = w.slots();
  for (std::size_t n = end; n < all.size() && all[n].op == OpCode::kSend; ++n) {
    const Edge& edge = edge_of(all[n]);
    const bool forward = all[n].leg == Leg::kForward;
    const Tensor& value = forward ? slots.value(all[n].node) : slots.gradient(all[n].node, edge.to);
    const GuardKind guard = forward ? edge.activation_guard : edge.gradient_guard;
    if (edge.labels || guard != GuardKind::kNone || value.place() == Tensor::Place::kHost) continue;
    const WireConfig& wire = setup_.study.wire;
    // An int8 gradient is rounded on the host, with what its record has kept.
    const Codec codec = forward ? wire.activation : wire.gradient == Codec::kInt8 ? Codec::kFloat32 : wire.gradient;
    for (const Tensor& t : encoded_tensors(ctx_, codec, value)) slots.encoded[{all[n].edge, all[n].leg}].push_back(fetched(t));
  }
}

void Executor::loss_on_device(const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad, Work& w) {
  LossSum sum(ctx_);
  loss_->evaluate_into(ctx_, outputs, labels, scale, grad, sum);
  w.slots().loss = fetched(sum.tensor());
  if (w.step().purpose != Purpose::kTrain) w.slots().outputs = fetched(outputs);
}

/// An update of one copy of a segment. On a device it is recorded by itself.
void Executor::take_step(const std::string& segment, std::size_t copy, double rate) {
  SegmentCopy& c = copies(segment)[copy];
  if (graphs_ == nullptr) return c.optimizer->step(ctx_, c.params, rate);
  constexpr std::int64_t kUpdate = -1;  // no purpose has this number
  StepGraphs::Kind* kind =
      graphs_->kind({kUpdate, static_cast<std::int64_t>(setup_.segments.index(segment)), static_cast<std::int64_t>(copy)});
  if (kind == nullptr) return c.optimizer->step(ctx_, c.params, rate);
  c.optimizer->prepare(ctx_, rate);
  c.optimizer->refresh(ctx_);
  c.params.refresh(ctx_);
  const Manner manner = kind->next;
  Span& span = kind->spans[{0, 0, 0}];
  graphs_->run(*kind, manner, span, [&] { c.optimizer->apply(ctx_, c.params); });
  if (manner == Manner::kRecord) span.work.replay(ctx_.stream().stream());
  graphs_->end(*kind, manner, StepGraphs::Parts::kAll);
}

/// The loss of a span, once its work is done.
void Executor::read_loss(Work& w) {
  ctx_.synchronise();
  const Slots& slots = w.slots();
  const LossSum::Value value = LossSum::of(slots.loss.as<double>());
  require(value.bad_labels == 0.0, Errc::kInvalidArgument, "a label lies outside the study's classes");
  judge_loss(w, value.loss, value.sound() ? Finite::kYes : Finite::kNo, slots.outputs, slots.labels);
}

}  // namespace sutura
