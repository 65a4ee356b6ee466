#include "runtime/engine/averaging.h"

#include <cstring>

#include "runtime/engine/exchange.h"
#include "runtime/engine/executor_slots.h"

namespace sutura {
namespace {

constexpr std::uint64_t kAdmissionStep = std::uint64_t{1} << 62;  // apart from the steps of round ends

/// Weighted mean in double, in the order given.
Tensor weighted_mean(const std::vector<Tensor>& values, const std::vector<double>& weights) {
  double total = 0.0;
  for (const double w : weights) total += w;
  Tensor mean(values[0].shape());
  const auto out = mean.f32();
  for (std::size_t i = 0; i < out.size(); ++i) {
    double sum = 0.0;
    for (std::size_t k = 0; k < values.size(); ++k) sum += weights[k] * static_cast<double>(values[k].f32()[i]);
    out[i] = static_cast<float>(sum / total);
  }
  return mean;
}

void assign(ParamStore& params, const Tensor& values) {
  std::memcpy(params.values().data(), values.data(), values.bytes_size());
}

}  // namespace

/// Weights edges of a round come in pairs: from the replicas to the server, and back.
template <class Each>
void Averaging::each_pair(Each each) {
  const Plan& plan = executor_.setup().plan;
  for (std::size_t w = 0; w + 1 < plan.weights.size(); ++w)
    if (plan.weights[w].when == WeightsEdge::When::kRoundEnd && plan.weights[w].from_party == plan.many_party)
      each(plan.weights[w], plan.weights[w + 1]);
}

void Averaging::end_round(std::int64_t round) {
  const PartySetup& setup = executor_.setup();
  for (const std::string& s : setup.study.schedule.average)
    if (executor_.holds(s) && setup.self.lane < 0) average_here(s);
  each_pair([&](const WeightsEdge& in, const WeightsEdge& out) {
    if (setup.self.party == in.to_party) average_at_server(in, out, round);
    if (setup.self.party != in.from_party) return;
    const auto lane = static_cast<std::uint32_t>(setup.self.lane);
    const Tag tag{weights_tag(setup.plan, in), Leg::kWeights, static_cast<std::uint64_t>(round), 0};
    send_weights(executor_, in.to_party, lane, tag, executor_.copies(in.segment)[0].params.values());
    take(out, lane, static_cast<std::uint64_t>(round));
  });
}

void Averaging::admit(std::uint32_t lane, std::int64_t round) {
  const std::uint64_t step = kAdmissionStep | static_cast<std::uint64_t>(round);
  each_pair([&](const WeightsEdge& in, const WeightsEdge& out) {
    if (executor_.setup().self.lane == static_cast<int>(lane)) return take(out, lane, step);
    if (executor_.setup().self.party != in.to_party || !executor_.active(lane)) return;
    try {
      executor_.between_steps(Between::kAdmission, out.to_party, lane, edge_index(executor_.setup().plan, out));
      give(out, lane, step);
    } catch (const PeerLost& lost) {
      executor_.drop(lane, lost);
    }
  });
}

void Averaging::average_here(const std::string& segment) {
  auto& copies = executor_.copies(segment);
  if (copies.size() < 2) return;
  std::vector<Tensor> values;
  std::vector<double> weights;
  for (std::size_t l = 0; l < copies.size(); ++l) {
    if (!executor_.active(static_cast<std::uint32_t>(l))) continue;
    values.push_back(Tensor::borrow(copies[l].params.values()));
    weights.push_back(static_cast<double>(executor_.setup().planner.sizes()[l].train));
  }
  const Tensor mean = weighted_mean(values, weights);
  for (SegmentCopy& c : copies) assign(c.params, mean);  // those of absent lanes too: a site that joins goes on from the mean
}

void Averaging::average_at_server(const WeightsEdge& in, const WeightsEdge& out, std::int64_t round) {
  const PartySetup& setup = executor_.setup();
  const Plan& plan = setup.plan;
  const Shape shape{setup.segments.networks[setup.segments.index(in.segment)].parameter_count()};
  const auto step = static_cast<std::uint64_t>(round);
  std::vector<Tensor> values;
  std::vector<double> weights;
  for (std::uint32_t l = 0; l < plan.lanes.size(); ++l) {
    if (!executor_.active(l)) continue;
    try {
      executor_.between_steps(Between::kAverageIn, in.from_party, l, edge_index(plan, in));
      values.push_back(receive_weights(executor_, in.from_party, l, {weights_tag(plan, in), Leg::kWeights, step, 0}, shape));
      weights.push_back(static_cast<double>(setup.planner.sizes()[l].train));
    } catch (const PeerLost& lost) {
      executor_.drop(l, lost);
    }
  }
  means_[in.segment] = weighted_mean(values, weights);
  for (std::uint32_t l = 0; l < plan.lanes.size(); ++l) {
    if (!executor_.active(l)) continue;
    try {
      executor_.between_steps(Between::kAverageOut, out.to_party, l, edge_index(plan, out));
      give(out, l, step);
    } catch (const PeerLost& lost) {
      executor_.drop(l, lost);
    }
  }
}

void Averaging::give(const WeightsEdge& out, std::uint32_t lane, std::uint64_t step) {
  const auto mean = means_.find(out.segment);
  require(mean != means_.end(), Errc::kInternal, "a mean was given before there was one");
  send_weights(executor_, out.to_party, lane, {weights_tag(executor_.setup().plan, out), Leg::kWeights, step, 0}, mean->second);
}

void Averaging::take(const WeightsEdge& out, std::uint32_t lane, std::uint64_t step) {
  ParamStore& params = executor_.copies(out.segment)[0].params;
  const Tag tag{weights_tag(executor_.setup().plan, out), Leg::kWeights, step, 0};
  assign(params, receive_weights(executor_, out.from_party, lane, tag, params.values().shape()));
}

}  // namespace sutura
