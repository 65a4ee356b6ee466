#include "tests/equivalence/pairs.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace sutura::testing {
namespace {

const std::vector<Chain> kChains = {
    {"vanilla", {"act1"}, {{"front", ""}, {"tail", "server"}}, "server"},
    {"u_shaped", {"act1", "act2"}, {{"front", ""}, {"body", "server"}, {"head", ""}}, ""},
    {"multi_hop",
     {"act1", "act2", "act3"},
     {{"front", ""}, {"entry", "server"}, {"middle", "partner"}, {"tail", "server"}},
     "server"},
    {"federated", {}, {{"whole", ""}}, ""},
};

const std::vector<Preset> kPresets = {
    {"sequential", "in_turn", "shared", Visit::kInTurn, Sharing::kHandedOn, Sharing::kOwn},
    {"parallel", "together", "shared", Visit::kTogether, Sharing::kOwn, Sharing::kOwn},
    {"parallel_shared_front", "together", "shared", Visit::kTogether, Sharing::kAveraged, Sharing::kOwn},
    {"splitfed_v1", "together", "per_client", Visit::kTogether, Sharing::kAveraged, Sharing::kAveraged},
    {"splitfed_v2", "shuffled", "shared", Visit::kShuffled, Sharing::kAveraged, Sharing::kOwn},
    {"splitfed_v3", "together", "per_client", Visit::kTogether, Sharing::kOwn, Sharing::kAveraged},
};

/// Sites that hold everything have no tail beside them and nobody to wait for; averaging them is fedavg.
bool has_meaning(const Chain& chain, const Preset& preset) {
  const bool beside = std::ranges::any_of(chain.places, [](const Place& p) { return !p.at_sites(); });
  return beside || preset.name == "sequential" || preset.name == "parallel_shared_front";
}

template <typename T>
std::string listed(const std::vector<T>& items) {
  std::string all;
  for (const T& i : items) {
    if (!all.empty()) all += ", ";
    if constexpr (std::is_same_v<T, std::string>)
      all += i;
    else
      all += std::to_string(i);
  }
  std::string text = "[";
  text += all;
  text += "]";
  return text;
}

}  // namespace

std::vector<std::string> Chain::partners() const {
  std::set<std::string> all;
  for (const Place& p : places)
    if (!p.at_sites() && p.party != "server") all.insert(p.party);
  return {all.begin(), all.end()};
}

std::vector<std::string> site_names(std::size_t count) {
  const std::vector<std::string> all = {"north", "east", "south", "west", "inland"};
  if (count > all.size()) throw std::out_of_range("five sites have names");
  return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count)};
}

std::vector<Pair> every_pair(const std::vector<std::size_t>& sites) {
  std::vector<Pair> all;
  for (const Chain& c : kChains)
    for (const Preset& p : kPresets)
      for (const std::size_t n : sites)
        if (has_meaning(c, p)) all.push_back({c, p, n});
  return all;
}

const Preset& preset(const std::string& name) {
  const auto found = std::ranges::find(kPresets, name, &Preset::name);
  if (found == kPresets.end()) throw std::out_of_range(name);
  return *found;
}

const Chain& chain(const std::string& topology) {
  const auto found = std::ranges::find(kChains, topology, &Chain::topology);
  if (found == kChains.end()) throw std::out_of_range(topology);
  return *found;
}

std::string network_text(const Chain& chain) {
  std::string text = "zoo: mlp, hidden: [7, 6, 5]";
  if (!chain.cuts.empty()) text += ", cuts: " + listed(chain.cuts);
  return text;
}

std::string schedule_text(const Pair& pair) {
  std::vector<std::string> averaged, handed_on;
  for (const Place& p : pair.chain.places) {
    const Sharing sharing = p.at_sites() ? pair.preset.sites : pair.preset.others;
    if (sharing == Sharing::kAveraged) averaged.push_back(p.segment);
    if (sharing == Sharing::kHandedOn) handed_on.push_back(p.segment);
  }
  std::string text = "{visit: " + pair.preset.visit + ", tail: " + pair.preset.tail;
  if (!averaged.empty()) text += ", average: " + listed(averaged);
  if (!handed_on.empty()) text += ", hand_on: " + listed(handed_on);
  text += "}";
  return text;
}

std::string Columns::name() const { return std::to_string(holders) + "_holders_" + join + (head.party == "server" ? "" : "_u"); }

std::int64_t Columns::width(std::size_t k) const { return kind == JoinKind::kConcat ? 2 + static_cast<std::int64_t>(k) : 4; }

std::vector<Columns> every_join() {
  const std::vector<std::vector<std::int64_t>> shares = {{7, 8}, {4, 6, 5}, {2, 1, 3, 5, 4}};
  const std::vector<std::pair<std::string, JoinKind>> joins = {
      {"concat", JoinKind::kConcat}, {"sum", JoinKind::kSum}, {"mean", JoinKind::kMean}, {"max", JoinKind::kMax}};
  std::vector<Columns> all;
  for (const auto& columns : shares)
    for (const auto& [join, kind] : joins)
      for (const std::string party : {"server", "holder_0"})
        all.push_back({columns.size(), join, kind, {"head", party}, columns});
  return all;
}

std::string topology_text(const Columns& c) {
  std::string parties, nodes, routes;
  for (std::size_t k = 0; k < c.holders; ++k) {
    const std::string n = std::to_string(k), at = c.holder(k);
    parties += "{name: " + at + ", role: client, count: one}, ";
    nodes += "    - {name: x_" + n + ", at: " + at + ", source: features}\n";
    nodes += "    - {name: front_" + n + ", at: " + at + ", segment: front_" + n + "}\n";
    routes += "    - {from: x_" + n + ", to: front_" + n + "}\n    - {from: front_" + n + ", to: join}\n";
  }
  nodes += "    - {name: y, at: " + c.holder(0) + ", source: labels}\n";
  nodes += "    - {name: join, at: server, join: " + c.join + "}\n    - {name: body, at: server, segment: body}\n";
  nodes +=
      "    - {name: head, at: " + c.head.party + ", segment: head}\n    - {name: loss, at: " + c.head.party + ", loss: study}\n";
  routes +=
      "    - {from: join, to: body}\n    - {from: body, to: head}\n    - {from: head, to: loss}\n    - {from: y, to: loss}\n";
  std::string text = "topology:\n  name: columns\n  parties: [" + parties;
  text += "{name: server, role: server}]\n  nodes:\n" + nodes + "  routes:\n" + routes;
  return text;
}

std::string network_text(const Columns& c) {
  std::string text = "segments: {";
  for (std::size_t k = 0; k < c.holders; ++k) {
    const std::string n = std::to_string(k);
    text += "front_" + n + ": {layers: [{name: fc_" + n + ", type: linear, outputs: " + std::to_string(c.width(k));
    text += "}, {name: act_" + n + ", type: gelu}]}, ";
  }
  text += "body: {layers: [{name: body_fc, type: linear, outputs: 6}, {name: body_act, type: relu}]}, ";
  text += "head: {layers: [{name: out, type: linear, outputs: -1}]}}";
  return text;
}

std::string columns_text(const Columns& c, const std::vector<std::string>& names) {
  std::string lists, shapes;
  auto next = names.begin();
  for (std::size_t k = 0; k < c.holders; ++k) {
    const std::string comma = k == 0 ? "" : ", ";
    lists += comma + c.holder(k) + ": " + listed(std::vector<std::string>(next, next + c.columns[k]));
    shapes += comma + c.holder(k) + ": " + listed(std::vector<std::int64_t>{c.columns[k]});
    next += c.columns[k];
  }
  return "party_columns: {" + lists + "}, party_shapes: {" + shapes + "}";
}

}  // namespace sutura::testing
