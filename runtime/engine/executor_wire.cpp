#include <algorithm>
#include <cmath>
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

/// Unguarded numbers have no norm to check against; beyond this one message could still ruin everybody's weights (its square
/// is what an optimizer accumulates).
bool within_bounds(const Tensor& value) {
  constexpr float kLargest = 1e6f;
  const auto small = [](float v) { return std::abs(v) <= kLargest; };
  if (value.dtype() == DType::kFloat32) return std::ranges::all_of(value.f32(), small);
  if (value.dtype() != DType::kBfloat16) return true;
  return std::ranges::all_of(value.as<bf16>(), [&](bf16 v) { return small(to_float(v)); });
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
  Tensor rows = cast(ctx_, i.leg == Leg::kForward ? slots.value(i.node) : slots.gradient(i.node, consumer), DType::kFloat32);
  // Gradient rows are those of each record's own loss, so that the clip norm does not depend on the batch size.
  if (i.leg == Leg::kBackward) scale_by(rows, static_cast<double>(step.records));
  // A party that serves all lanes releases for each of them: lane and leg together keep the noise of two rows apart.
  const std::uint32_t lane = setup_.self.lane < 0 ? part.lane : 0;
  const ReleaseKey key{static_cast<std::uint16_t>(i.edge), step.id, part.micro_batch,
                       lane << 2 | static_cast<std::uint32_t>(i.leg)};
  slots.released[{i.edge, i.leg}] = setup_.guard->release(ctx_, rows, people_of(step, part), key);
}

void Executor::send(const Instruction& i, Work& w) {
  const Edge& edge = edge_of(i);
  Message m;
  m.type = MessageType::kData;
  // The index of the part, not its micro-batch: two parties that serve all lanes share one channel for them.
  m.tag = {static_cast<std::uint16_t>(i.edge), i.leg, w.step().id, static_cast<std::uint16_t>(w.index)};
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
  const Tensor& value = i.leg == Leg::kForward ? w.slots().value(i.node) : w.slots().gradient(i.node, edge.to);
  if (edge.labels) {
    std::vector<WireTensor> labels;
    labels.push_back(to_wire(value));
    return labels;
  }
  const WireConfig& wire = setup_.study.wire;
  if (i.leg == Leg::kForward) return encode_values(ctx_, wire.activation, value);
  if (wire.gradient != Codec::kInt8) return encode_values(ctx_, wire.gradient, value);
  const std::uint32_t lane = w.part().lane;
  const Tensor gradient = cast(ctx_, value, DType::kFloat32);
  return residuals_[{i.edge, lane}].encode(ctx_, gradient, setup_.planner.records(w.step(), w.part()),
                                           setup_.planner.sizes()[lane].train);
}

/// The message that is due. Errors: PeerLost with what stands in its way; kInterrupted where this process was stopped, which
/// is nobody's departure.
Message Executor::take(const Edge& edge, Leg leg, const Work& w) {
  const auto number = static_cast<std::uint16_t>(&edge - setup_.plan.edges.data());
  const Tag tag{number, leg, w.step().id, static_cast<std::uint16_t>(w.index)};
  const auto start = std::chrono::steady_clock::now();
  std::variant<Message, Outcome> answer = Outcome::kOk;
  try {
    answer = channel(peer_party(edge), w.part().lane).receive(tag, patience());
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

/// The checked value of a message: released rows are still to be decoded.
Tensor Executor::read_value(const Message& m, const Edge& edge, Leg leg, const Work& w) {
  const bool guarded = (leg == Leg::kForward ? edge.activation_guard : edge.gradient_guard) != GuardKind::kNone;
  const bool regression = setup_.study.training.loss == LossKind::kMeanSquaredError;
  const Codec codec = leg == Leg::kForward ? setup_.study.wire.activation : setup_.study.wire.gradient;
  const std::string what = "a message of " + edge.text;
  try {
    for (const WireTensor& t : m.tensors) require(all_finite(t), Errc::kProtocol, what + " holds NaN or infinity");
    Tensor value;
    if (edge.labels || guarded) {
      require(m.tensors.size() == 1, Errc::kProtocol, what + " has another number of tensors");
      const DType labels = regression ? DType::kFloat32 : DType::kInt32;
      expect(m.tensors[0], edge.labels ? labels : setup_.study.privacy.wire,
             edge.labels ? Shape{w.part().count} : edge.row.with_batch(w.part().count));
      value = to_tensor(m.tensors[0]);
    } else {
      value = decode_values(ctx_, codec, m.tensors, edge.row.with_batch(w.part().count), what);
    }
    require(edge.labels || within_bounds(value), Errc::kProtocol, what + " holds a number beyond a million");
    return value;
  } catch (const Error& e) {
    throw PeerLost(e.code(), std::string(e.what()) + " (" + edge.text + ")");
  }
}

void Executor::receive(const Instruction& i, Work& w) {
  const Edge& edge = edge_of(i);
  Slots& slots = w.slots();
  const bool guarded = (i.leg == Leg::kForward ? edge.activation_guard : edge.gradient_guard) != GuardKind::kNone;
  const Message m = take(edge, i.leg, w);
  // The server says so where a peer of this part was lost; a client has no such peer.
  if (m.tensors.empty() && role_of(peer_party(edge)) == Role::kServer) return make_void(w);
  Tensor value = read_value(m, edge, i.leg, w);
  if (edge.labels) check_labels(value, setup_.classes);
  if (guarded) value = decode_rows(ctx_, setup_.rows, value);
  if (i.leg == Leg::kForward) {
    const bool joined = setup_.plan.topology.nodes[static_cast<std::size_t>(edge.to)].kind == NodeKind::kJoin;
    if (joined && w.step().purpose == Purpose::kTrain && setup_.study.schedule.missing_party == MissingParty::kRunningMean)
      means_[i.edge].add(cast(ctx_, value, DType::kFloat32));
    slots.received[i.edge] = std::move(value);
    return;
  }
  if (value.dtype() != DType::kFloat32) value = cast(ctx_, value, DType::kFloat32);
  if (guarded) scale_by(value, 1.0 / static_cast<double>(w.step().records));
  // The released value was clip(row) + noise: its gradient passes the clip's exact Jacobian.
  if (edge.activation_guard != GuardKind::kNone)
    value = setup_.guard->backward(ctx_, cast(ctx_, slots.value(i.node), DType::kFloat32), value);
  add_gradient(i.node, edge.to, std::move(value), slots);
}

void Executor::fit(const Instruction& i, Work& w) {
  const Step& step = w.step();
  Slots& slots = w.slots();
  const Tensor rows = cast(ctx_, slots.value(i.node), DType::kFloat32);
  Tensor q(rows.shape(), DType::kInt32);
  quantise_rows(ctx_, setup_.rows, rows, q);
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
  const Tensor& value = w.slots().received.at(i.edge);
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
