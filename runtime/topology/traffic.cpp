#include "runtime/topology/traffic.h"

#include <algorithm>

#include "core/error.h"
#include "transport/codec.h"

namespace sutura {
namespace {

GuardKind guard_of(const Edge& e, Leg leg) { return leg == Leg::kForward ? e.activation_guard : e.gradient_guard; }
Codec codec_of(const StudyConfig& s, Leg leg) { return leg == Leg::kForward ? s.wire.activation : s.wire.gradient; }

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Tensors of a message: int8 rows bring their scales in a second one.
std::int64_t tensors_of(const Edge& e, Leg leg, const StudyConfig& study) {
  return !e.labels && guard_of(e, leg) == GuardKind::kNone && codec_of(study, leg) == Codec::kInt8 ? 2 : 1;
}

/// Weights and what the optimizer keeps per trained weight.
std::int64_t handed_over_bytes(const Network& network, const TrainingConfig& training) {
  const ParamStore params = network.make_params(0);
  const std::int64_t moments = training.optimizer == OptimizerKind::kAdamW ? 2 : training.momentum > 0.0 ? 1 : 0;
  return 4 * (params.total() + moments * params.trained());
}

}  // namespace

std::int64_t value_bytes(GuardKind guard, Codec codec, DType guarded, std::int64_t elements) {
  if (guard == GuardKind::kRows) return elements * static_cast<std::int64_t>(size_bytes(guarded));
  switch (codec) {
    case Codec::kFloat32: return 4 * elements;
    case Codec::kBfloat16: return 2 * elements;
    case Codec::kInt8: break;
  }
  return elements + 4;  // and the record's scale
}

std::string wire_text(const Edge& edge, Leg leg, const StudyConfig& study) {
  if (edge.labels) return study.training.loss == LossKind::kMeanSquaredError ? "f32" : "int32";
  if (guard_of(edge, leg) == GuardKind::kRows) return std::string(name(study.privacy.wire)) + " rows";
  switch (codec_of(study, leg)) {
    case Codec::kFloat32: return "f32";
    case Codec::kBfloat16: return "bf16";
    case Codec::kInt8: break;
  }
  return "int8, a scale per record";
}

std::int64_t record_bytes(const Edge& edge, Leg leg, const StudyConfig& study) {
  if (edge.labels) return 4;
  return value_bytes(guard_of(edge, leg), codec_of(study, leg), study.privacy.wire, edge.row.row_elements());
}

Traffic count_traffic(const Plan& plan, const StudyConfig& study, const Segments& segments, std::int64_t records) {
  require(records > 0, Errc::kInvalidArgument, "an epoch has at least one record");
  const auto lanes = static_cast<std::int64_t>(plan.lanes.size());
  const bool together = study.schedule.visit == Visit::kTogether;
  const std::int64_t batch = study.training.batch_size;
  Traffic t;
  t.records = records;
  if (together) {
    t.steps = ceil_div(records, batch);
  } else {
    for (std::int64_t l = 0; l < lanes; ++l) t.steps += ceil_div(records * (l + 1) / lanes - records * l / lanes, batch);
  }
  // A site sends no more messages than it has records in the step.
  const std::int64_t sites = together ? lanes : 1;
  const std::int64_t messages = std::min(batch, sites * std::min(study.training.micro_batches, ceil_div(batch, sites)));
  for (std::size_t e = 0; e < plan.edges.size(); ++e)
    for (const Leg leg : {Leg::kForward, Leg::kBackward}) {
      const Edge& edge = plan.edges[e];
      if (leg == Leg::kBackward && !edge.gradient) continue;
      LegTraffic l{static_cast<int>(e), leg, wire_text(edge, leg, study), record_bytes(edge, leg, study)};
      const std::int64_t frame = static_cast<std::int64_t>(kHeaderBytes) +
                                 tensors_of(edge, leg, study) * static_cast<std::int64_t>(kDescriptorBytes);
      l.messages_per_step = plan.release_once ? 0 : messages;
      l.step_bytes = plan.release_once ? 0 : batch * l.record_bytes + messages * frame;
      l.epoch_bytes = records * l.record_bytes + (plan.release_once ? 0 : t.steps * messages * frame);
      t.legs.push_back(std::move(l));
    }
  for (std::size_t w = 0; w < plan.weights.size(); ++w) {
    const WeightsEdge& edge = plan.weights[w];
    const Network& network = segments.networks[segments.index(edge.segment)];
    const bool many = edge.from_party == plan.many_party || edge.to_party == plan.many_party;
    const std::int64_t one = edge.when == WeightsEdge::When::kHandOver ? handed_over_bytes(network, study.training)
                                                                       : 4 * network.parameter_count();
    // With release-once the weights of the permuted-label controls go with the others.
    const bool controls = edge.when == WeightsEdge::When::kRunEnd && plan.release_once;
    t.weights.push_back({static_cast<int>(w), (many ? lanes : 1) * one * (controls ? 1 + study.control_permutations : 1)});
  }
  return t;
}

}  // namespace sutura
