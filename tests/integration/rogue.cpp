#include "tests/integration/rogue.h"

#include <algorithm>
#include <cstring>

#include "runtime/data/load.h"
#include "tests/support/process.h"
#include "transport/security.h"

namespace sutura::testing {
namespace {

WireTensor zeros(DType dtype, const Shape& shape) {
  return {dtype, shape, Bytes(static_cast<std::size_t>(shape.elements()) * size_bytes(dtype))};
}

const Edge& edge_of(const Plan& plan, bool labels) {
  const auto it = std::ranges::find_if(plan.edges, [&](const Edge& e) { return e.labels == labels; });
  require(it != plan.edges.end(), Errc::kInternal, "the study has no such edge");
  return *it;
}

}  // namespace

Rogue::Rogue(const std::filesystem::path& study, const std::vector<std::string>& overrides, std::string site)
    : loaded_(load_study(study, overrides)),
      site_(std::move(site)),
      data_(load_site(loaded_.config.data, loaded_.config.seed, site_)),
      prepared_(prepare(loaded_, feature_rows(loaded_.config, &data_))) {
  const auto& lanes = prepared_.plan.lanes;
  lane_ = static_cast<std::uint32_t>(std::ranges::find(lanes, site_) - lanes.begin());
}

Hello Rogue::hello() const {
  Hello h;
  h.protocol = kSessionProtocol;
  h.software = "rogue";
  h.backend = "reference";
  h.site = site_;
  h.plan_digest = prepared_.agreement.digest;
  h.sizes = {static_cast<std::uint64_t>(data_.train.size()), static_cast<std::uint64_t>(data_.validation.size()),
             static_cast<std::uint64_t>(data_.test.size())};
  h.nonce = 4711;
  return h;
}

void Rogue::welcomed(const SessionTerms& session) { planner_.emplace(loaded_.config, prepared_.plan.lanes, session.sizes); }

Step Rogue::step(std::size_t index) const {
  require(planner_.has_value(), Errc::kInternal, "the rogue has not been welcomed");
  return planner_->training(0).at(index);
}

Part Rogue::part(const Step& step) const {
  const auto it = std::ranges::find_if(step.parts, [&](const Part& p) { return p.lane == lane_; });
  require(it != step.parts.end(), Errc::kInternal, "the rogue has no part in this step");
  return *it;
}

Tag Rogue::tag(const Edge& edge, const Step& step) const {
  const auto own = std::ranges::find_if(step.parts, [&](const Part& p) { return p.lane == lane_; });
  return {static_cast<std::uint16_t>(&edge - prepared_.plan.edges.data()), Leg::kForward, step.id,
          static_cast<std::uint16_t>(own - step.parts.begin())};
}

Message Rogue::rows(const Step& step) const {
  const Edge& edge = edge_of(prepared_.plan, false);
  Message m;
  m.tag = tag(edge, step);
  const DType dtype = edge.activation_guard == GuardKind::kNone ? DType::kFloat32 : loaded_.config.privacy.wire;
  m.tensors.push_back(zeros(dtype, edge.row.with_batch(part(step).count)));
  return m;
}

Message Rogue::labels(const Step& step) const {
  const Edge& edge = edge_of(prepared_.plan, true);
  Message m;
  m.tag = tag(edge, step);
  m.tensors.push_back(zeros(DType::kInt32, Shape{part(step).count}));
  return m;
}

Message Rogue::front_weights(std::int64_t epoch) const {
  Message m;
  m.tag = {0x8000, Leg::kWeights, static_cast<std::uint64_t>(epoch), 0};
  m.tensors.push_back(
      zeros(DType::kFloat32, Shape{prepared_.segments.networks[prepared_.segments.index("front")].make_params(0).total()}));
  return m;
}

LinkedRogue::LinkedRogue(Rogue& mind, const std::string& endpoint, const std::filesystem::path& server_public,
                         const std::filesystem::path& secret)
    : mind_(mind), endpoint_(endpoint, load_public(server_public), load_secret(secret)) {}

void LinkedRogue::join() {
  const auto nothing = [](const std::string&) { return std::string("the plans differ"); };
  mind_.welcomed(join_session(endpoint_.channel(), mind_.hello(), mind_.plan(), nothing, deadline_in(kPatience)));
}

void LinkedRogue::send(Message message) {
  const Outcome outcome = endpoint_.channel().send(std::move(message), deadline_in(kPatience));
  require(outcome == Outcome::kOk, Errc::kNetwork, "the rogue cannot send: " + outcome_text(outcome));
}

Error LinkedRogue::refusal() {
  try {
    // A tag that nobody sends: only the end of the session ends this wait.
    const auto answer = endpoint_.channel().receive({0x7fff, Leg::kForward, 0, 0}, deadline_in(kPatience));
    const auto* outcome = std::get_if<Outcome>(&answer);
    return {Errc::kInternal, outcome == nullptr ? "the server answered what nobody asked" : outcome_text(*outcome)};
  } catch (const Error& e) {
    return e;
  }
}

}  // namespace sutura::testing
