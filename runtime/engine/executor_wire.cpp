#include <algorithm>
#include <cstring>
#include <variant>

#include "kernels/ops/cast/cast.h"
#include "runtime/engine/executor_slots.h"
#include "runtime/engine/session.h"
#include "transport/codec.h"

// The instructions that touch messages: RELEASE, SEND, RECEIVE, STORE, FETCH.
namespace sutura {
namespace {

void scale_by(Tensor& t, double factor) {
  for (float& v : t.f32()) v = static_cast<float>(v * factor);
}

bool is_guarded(const Edge& edge, Leg leg) {
  return (leg == Leg::kForward ? edge.activation_guard : edge.gradient_guard) != GuardKind::kNone;
}

void check_labels(const Tensor& labels, std::int64_t classes) {
  if (labels.dtype() != DType::kInt32) return;
  const bool in_range = std::ranges::all_of(labels.as<std::int32_t>(), [&](std::int32_t v) { return v >= 0 && v < classes; });
  if (!in_range) throw PeerLost(Errc::kProtocol, "a label is outside the study's classes");
}

}  // namespace

int Executor::peer_party(const Edge& edge) const {
  return edge.from_party == setup_.self.party ? edge.to_party : edge.from_party;
}

std::vector<std::int64_t> Executor::people_of(const Step& step, const Part& part) const {
  std::vector<std::int64_t> people = setup_.planner.records(step, part);
  if (setup_.data != nullptr && !split_of(*setup_.data, step.split).source_rows.empty()) {
    const std::vector<std::int64_t>& rows = split_of(*setup_.data, step.split).source_rows;
    for (std::int64_t& p : people) p = rows.at(static_cast<std::size_t>(p));
    return people;
  }
  // No file to number them by (records made in memory, or a server's gradients): positions, lane by lane, split by split.
  const auto& sizes = setup_.planner.sizes();
  std::int64_t offset = 0;
  if (setup_.self.lane < 0)
    for (std::size_t l = 0; l < part.lane; ++l) offset += sizes[l].train + sizes[l].validation + sizes[l].test;
  if (step.split != Split::kTrain) offset += sizes[part.lane].train;
  if (step.split == Split::kTest) offset += sizes[part.lane].validation;
  for (std::int64_t& p : people) p += offset;
  return people;
}

void Executor::release(const Instruction& i, Work& w) {
  require(setup_.guard != nullptr, Errc::kInternal, "a guarded edge without a guard");
  const Step& step = w.step();
  const Part& part = w.part();
  Slots& slots = w.slots();
  const int consumer = edge_of(i).to;
  Tensor rows =
      cast(ctx_, ctx_.here(Tensor::borrow(i.leg == Leg::kForward ? slots.value(i.node) : slots.gradient(i.node, consumer))),
           DType::kFloat32);
  // Gradient rows are those of each record's own loss, so that the clip norm does not depend on the batch size. Scaled on
  // the host, the same on every backend: a release may not depend on who computed it.
  if (i.leg == Leg::kBackward) {
    rows = ctx_.host(std::move(rows));
    scale_by(rows, static_cast<double>(step.records));
    rows = ctx_.here(std::move(rows));
  }
  // A party that serves all lanes releases for each of them: lane and leg together keep the noise of two rows apart.
  const std::uint32_t lane = setup_.self.lane < 0 ? part.lane : 0;
  const ReleaseKey key{static_cast<std::uint16_t>(i.edge), step.id, part.micro_batch,
                       lane << 2 | static_cast<std::uint32_t>(i.leg)};
  slots.released[{i.edge, i.leg}] = ctx_.host(setup_.guard->release(ctx_, rows, people_of(step, part), key));
}

void Executor::send(const Instruction& i, Work& w) {
  const Edge& edge = edge_of(i);
  Message m;
  m.type = MessageType::kData;
  m.tag = w.tag(i.edge, i.leg);
  const auto guarded = w.slots().released.find({i.edge, i.leg});
  const GuardKind guard = i.leg == Leg::kForward ? edge.activation_guard : edge.gradient_guard;
  require(guard == GuardKind::kNone || guarded != w.slots().released.end(), Errc::kInternal,
          "a guarded value was about to leave unreleased on " + edge.text);
  if (guarded != w.slots().released.end())
    m.tensors.push_back(to_wire(guarded->second));
  else
    m.tensors = clear_payload(i, edge, w);
  send_or_lose(channel(peer_party(edge), w.part().lane), std::move(m), patience(), edge.text);
}

std::vector<WireTensor> Executor::clear_payload(const Instruction& i, const Edge& edge, Work& w) {
  const auto ready = w.slots().encoded.find({i.edge, i.leg});
  if (ready != w.slots().encoded.end()) ctx_.synchronise();
  const Tensor& value = i.leg == Leg::kForward ? w.slots().value(i.node) : w.slots().gradient(i.node, edge.to);
  if (edge.labels) {
    std::vector<WireTensor> labels;
    labels.push_back(to_wire(ctx_.host(Tensor::borrow(value))));
    return labels;
  }
  const WireConfig& wire = setup_.study.wire;
  const bool keeps_rounding = i.leg == Leg::kBackward && wire.gradient == Codec::kInt8;
  if (!keeps_rounding) {
    if (ready != w.slots().encoded.end()) return to_wire(ready->second);
    return encode_values(ctx_, i.leg == Leg::kForward ? wire.activation : wire.gradient, ctx_.here(Tensor::borrow(value)));
  }
  // Residuals belong to records, in file order: they stay on the host, and so does this rounding.
  const std::uint32_t lane = w.part().lane;
  const Tensor gradient = ready != w.slots().encoded.end() ? Tensor::borrow(ready->second.at(0))
                                                           : cast(on_host(), ctx_.host(Tensor::borrow(value)), DType::kFloat32);
  return residuals_[{i.edge, lane}].encode(on_host(), gradient, setup_.planner.records(w.step(), w.part()),
                                           setup_.planner.sizes()[lane].train);
}

/// The message that is due. Errors: PeerLost with what stands in its way; kInterrupted where this process was stopped, which
/// is nobody's departure.
Message Executor::take(const Edge& edge, Leg leg, Work& w) {
  const auto number = static_cast<int>(&edge - setup_.plan.edges.data());
  if (auto early = w.ahead().for_receive.extract({number, leg}); !early.empty()) return std::move(early.mapped());
  const auto start = std::chrono::steady_clock::now();
  std::variant<Message, Outcome> answer = Outcome::kOk;
  try {
    answer = channel(peer_party(edge), w.part().lane).receive(w.tag(number, leg), patience());
  } catch (const Error& e) {
    throw PeerLost(e.code(), std::string(e.what()) + " (" + edge.text + ")");
  }
  waited_ += std::chrono::steady_clock::now() - start;
  if (auto* message = std::get_if<Message>(&answer)) return std::move(*message);
  const Outcome outcome = std::get<Outcome>(answer);
  const std::string text = outcome_text(outcome) + " while waiting for " + edge.text;
  if (outcome == Outcome::kStopped) throw Error(Errc::kInterrupted, text);
  throw PeerLost(Errc::kNetwork, text);
}

/// Refuses what the plan does not allow in this message, before anything is made of it.
void Executor::check_message(const Message& m, const Edge& edge, Leg leg, const Work& w) const {
  const bool regression = setup_.study.training.loss == LossKind::kMeanSquaredError;
  const Codec codec = leg == Leg::kForward ? setup_.study.wire.activation : setup_.study.wire.gradient;
  const std::string what = "a message of " + edge.text;
  try {
    for (const WireTensor& t : m.tensors) require(all_finite(t), Errc::kProtocol, what + " holds NaN or infinity");
    if (edge.labels || is_guarded(edge, leg)) {
      require(m.tensors.size() == 1, Errc::kProtocol, what + " has another number of tensors");
      const DType labels = regression ? DType::kFloat32 : DType::kInt32;
      expect(m.tensors[0], edge.labels ? labels : setup_.study.privacy.wire,
             edge.labels ? Shape{w.part().count} : edge.row.with_batch(w.part().count));
      if (edge.labels) check_labels(to_tensor(m.tensors[0]), setup_.classes);
      return;
    }
    check_values(codec, m.tensors, edge.row.with_batch(w.part().count), what);
    require(within_bounds(codec, m.tensors), Errc::kProtocol, what + " holds a number beyond a million");
  } catch (const Error& e) {
    throw PeerLost(e.code(), std::string(e.what()) + " (" + edge.text + ")");
  }
}

/// The values of a checked message whose tensors lie where `ctx` computes; gradients as float32.
Tensor Executor::decoded(Context& ctx, const Edge& edge, Leg leg, std::vector<Tensor> tensors) const {
  const Codec codec = leg == Leg::kForward ? setup_.study.wire.activation : setup_.study.wire.gradient;
  Tensor value =
      is_guarded(edge, leg) ? decode_rows(ctx, setup_.rows, tensors.at(0)) : decoded_tensors(ctx, codec, std::move(tensors));
  if (leg == Leg::kForward || value.dtype() == DType::kFloat32) return value;
  return cast(ctx, value, DType::kFloat32);
}

void Executor::receive(const Instruction& i, Work& w) {
  const Edge& edge = edge_of(i);
  Message m = take(edge, i.leg, w);
  // The server says so where a peer of this part was lost; a client has no such peer.
  if (m.tensors.empty() && role_of(peer_party(edge)) == Role::kServer) return make_void(w);
  check_message(m, edge, i.leg, w);
  accept(i, std::move(m), w);
}

bool Executor::takes_mean(const Instruction& i, const Work& w) const {
  return i.leg == Leg::kForward && setup_.plan.topology.nodes[static_cast<std::size_t>(edge_of(i).to)].kind == NodeKind::kJoin &&
         w.step().purpose == Purpose::kTrain && setup_.study.schedule.missing_party == MissingParty::kRunningMean;
}

/// Whether a message's values are decoded by the span that needs them.
bool Executor::decodes_later(const Instruction& i, const Work& w) const {
  const Edge& edge = edge_of(i);
  const bool passes_guard = i.leg == Leg::kBackward && (is_guarded(edge, i.leg) || edge.activation_guard != GuardKind::kNone);
  return ctx_.on_device() && !edge.labels && !passes_guard && !takes_mean(i, w);
}

/// Does what receive() does if the message is there and as it should be; else leaves that to receive().
bool Executor::receive_ahead(const Instruction& i, Work& w) {
  const Edge& edge = edge_of(i);
  if (!reachable(edge, w.part().lane) || w.ahead().for_receive.contains({i.edge, i.leg}) || !(edge.labels || decodes_later(i, w)))
    return false;
  std::optional<Message> m;
  try {
    auto answer = channel(peer_party(edge), w.part().lane).receive(w.tag(i.edge, i.leg), Deadline{});
    if (auto* message = std::get_if<Message>(&answer)) m = std::move(*message);
    if (!m) return false;
    require(!m->tensors.empty(), Errc::kProtocol, "nothing to compute with");
    check_message(*m, edge, i.leg, w);
  } catch (const Error&) {
    if (m) w.ahead().for_receive[{i.edge, i.leg}] = std::move(*m);
    return false;
  }
  accept(i, std::move(*m), w);
  return true;
}

/// Keeps what a checked message brought.
void Executor::accept(const Instruction& i, Message&& m, Work& w) {
  const Edge& edge = edge_of(i);
  Slots& slots = w.slots();
  if (edge.labels) {
    slots.received[i.edge] = to_tensor(m.tensors[0]);
    return;
  }
  if (decodes_later(i, w)) {
    slots.raw[{i.edge, i.leg}].wire = std::move(m.tensors);
    return;
  }
  std::vector<Tensor> tensors;
  for (const WireTensor& t : m.tensors) tensors.push_back(to_tensor(t));
  Tensor value = decoded(on_host(), edge, i.leg, std::move(tensors));
  if (takes_mean(i, w)) means_[i.edge].add(cast(on_host(), value, DType::kFloat32));
  if (i.leg == Leg::kForward) {
    slots.received[i.edge] = std::move(value);
    return;
  }
  if (is_guarded(edge, i.leg)) scale_by(value, 1.0 / static_cast<double>(w.step().records));
  // The released value was clip(row) + noise: its gradient passes the clip's exact Jacobian.
  if (edge.activation_guard != GuardKind::kNone) {
    const Tensor rows = cast(ctx_, ctx_.here(Tensor::borrow(slots.value(i.node))), DType::kFloat32);
    value = ctx_.host(setup_.guard->backward(ctx_, rows, ctx_.here(std::move(value))));
  }
  add_gradient(i.node, edge.to, std::move(value), slots);
}

/// A received value whose decoding was left to computation, decoded on the host.
Tensor& Executor::received_on_host(int edge, Work& w) {
  Slots& slots = w.slots();
  if (const auto raw = slots.raw.extract({edge, Leg::kForward}); !raw.empty()) {
    std::vector<Tensor> tensors;
    for (const WireTensor& t : raw.mapped().wire) tensors.push_back(to_tensor(t));
    slots.received[edge] =
        decoded(on_host(), setup_.plan.edges[static_cast<std::size_t>(edge)], Leg::kForward, std::move(tensors));
  }
  return slots.received.at(edge);
}

void Executor::fit(const Instruction& i, Work& w) {
  const Step& step = w.step();
  Slots& slots = w.slots();
  const Tensor rows = cast(on_host(), ctx_.host(Tensor::borrow(slots.value(i.node))), DType::kFloat32);
  Tensor q(rows.shape(), DType::kInt32);
  quantise_rows(on_host(), setup_.rows, rows, q);
  Tensor fitted(rows.shape());  // [n, ...]
  for (std::size_t j = 0; j < fitted.f32().size(); ++j)
    fitted.f32()[j] = static_cast<float>(q.as<std::int32_t>()[j] * setup_.rows.grid());
  const auto& rule = setup_.study.privacy.no_data_rule;
  const auto width = static_cast<std::size_t>(fitted.shape().row_elements());
  if (!rule.empty() && step.split == Split::kTest) {
    require(
        rule.size() == 1 || rule.size() == width, Errc::kConfig,
        "privacy.no_data_rule has " + std::to_string(rule.size()) + " weights, a row has " + std::to_string(width) + " values");
    for (std::size_t r = 0; r < static_cast<std::size_t>(fitted.shape()[0]); ++r) {
      double score = 0.0;
      for (std::size_t j = 0; j < width; ++j) score += rule[rule.size() == 1 ? 0 : j] * fitted.f32()[r * width + j];
      rule_scores_.push_back(static_cast<float>(score));
    }
  }
  slots.received[i.edge] = std::move(fitted);
}

void Executor::store(const Instruction& i, Work& w) {
  const Step& step = w.step();
  const Part& part = w.part();
  Tensor& rows = stored_rows(i.edge, part.lane, step.split);
  const Tensor& value = received_on_host(i.edge, w);
  const std::int64_t total = setup_.planner.sizes()[part.lane].of(step.split);
  if (!rows.defined()) rows = Tensor::zeros(value.shape().with_batch(total), value.dtype());
  Tensor target = rows.rows(part.begin, part.count);
  std::memcpy(target.data(), value.data(), value.bytes_size());
}

void Executor::fetch(const Instruction& i, Work& w) {
  const Tensor& rows = stored_rows(i.edge, w.part().lane, w.step().split);
  require(rows.defined(), Errc::kInternal, "stored rows were used before they were uploaded");
  w.slots().received[i.edge] = gather_rows(rows, setup_.planner.records(w.step(), w.part()));
}

}  // namespace sutura
