#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "runtime/config/load_study.h"
#include "runtime/engine/study_run.h"
#include "runtime/topology/plan.h"

namespace sutura::testing {

inline constexpr const char* kNoPrivacy = "{mechanism: none, because: a test, labels: public}";
inline constexpr const char* kMessageNoise =
    "{mechanism: rows, regime: message-noise, relation: replace-one, epsilon: 50, delta: 1e-5, clip_norm: 1, wire: int8, "
    "labels: public}";
inline constexpr const char* kReleaseOnce =
    "{mechanism: rows, regime: release-once, relation: replace-one, epsilon: 8, delta: 1e-5, clip_norm: 1, wire: int8, "
    "labels: public}";

/// Layers act1 and act2 follow 6 -> 5 -> 4; the output follows them.
inline constexpr const char* kMlp = "zoo: mlp, hidden: [5, 4]";

/// Four segments that alternate between hospital and server; the hospital holds the labels and the loss.
inline constexpr const char* kChain = R"(topology:
  name: chain
  parties: [{name: hospital, role: client, count: many}, {name: server, role: server}]
  nodes:
    - {name: x, at: hospital, source: features}
    - {name: y, at: hospital, source: labels}
    - {name: a, at: hospital, segment: a}
    - {name: b, at: server, segment: b}
    - {name: c, at: hospital, segment: c}
    - {name: d, at: server, segment: d}
    - {name: loss, at: hospital, loss: study}
  routes:
    - {from: x, to: a}
    - {from: a, to: b}
    - {from: b, to: c}
    - {from: c, to: d}
    - {from: d, to: loss}
    - {from: y, to: loss}
)";

inline constexpr const char* kVerticalSegments =
    "segments: {front_clinic: {layers: [{name: clinic_fc, type: linear, outputs: 3}]}, "
    "front_laboratory: {layers: [{name: laboratory_fc, type: linear, outputs: 2}]}, "
    "tail: {layers: [{name: act, type: relu}, {name: out, type: linear, outputs: -1}]}}";

/// Basenames of configs/topologies, sorted.
inline std::vector<std::string> shipped_topologies() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(SUTURA_SOURCE_DIR) / "configs/topologies"))
    names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// A study in a folder that goes away with the test, and what the compiler says about it.
class PlanCase : public ::testing::Test {
 protected:
  PlanCase() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() / ("sutura_topology_" + std::to_string(::getpid()) + "_" + test->name());
    std::filesystem::create_directories(folder_);
  }
  ~PlanCase() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  /// The study around a topology that ships ("vanilla") or a topology section of its own ("topology:\n..."), on records of
  /// six columns at the sites `sites`.
  StudyConfig study(const std::string& topology, const std::string& network, const std::string& privacy,
                    const std::string& sites = "[north, south]", const std::string& more = {}) {
    const bool own = topology.starts_with("topology:");
    if (!own)
      std::filesystem::copy_file(std::filesystem::path(SUTURA_SOURCE_DIR) / "configs/topologies" / (topology + ".yaml"),
                                 folder_ / (topology + ".yaml"), std::filesystem::copy_options::overwrite_existing);
    const std::string head = own ? topology : "include: [" + topology + ".yaml]\n";
    const std::filesystem::path path = folder_ / "study.yaml";
    std::ofstream(path) << head
                        << "study: s\nseed: 3\ndata: {table: {path: t.csv, label: y, classes: [\"0\", \"1\"]}, sites: " << sites
                        << ", record_shape: [6]"
                        << party_shapes(topology) << "}\nnetwork: {"
                        << network << "}\ntraining: {loss: binary_cross_entropy, epochs: 5}\nprivacy: " << privacy << "\n"
                        << more;
    return load_study(path).config;
  }

  static Plan compiled(const StudyConfig& study) {
    const std::vector<Shape> rows = feature_rows(study, nullptr);
    return compile(study, build_segments(study, rows, outputs_for(study.training.loss, classes_of(study.data))), rows);
  }
  /// What compile() refuses the study with; empty when it does not.
  static std::string refusal(const StudyConfig& study) {
    try {
      static_cast<void>(compiled(study));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kConfig) << e.what();
      return e.what();
    }
    return {};
  }

  /// A study of two sites, or one cohort, around any topology that ships; the network is cut, or built, as it needs.
  StudyConfig shipped(const std::string& topology, const std::string& privacy = kNoPrivacy);

 private:
  static std::string party_shapes(const std::string& topology) {
    if (!topology.starts_with("vertical")) return "";
    return topology == "vertical_three" ? ", party_shapes: {clinic: [3], laboratory: [2], pharmacy: [1]}"
                                        : ", party_shapes: {clinic: [4], laboratory: [2]}";
  }

  std::filesystem::path folder_;
};

inline StudyConfig PlanCase::shipped(const std::string& topology, const std::string& privacy) {
  static constexpr const char* kFronts =
      "segments: {front_clinic: {layers: [{name: clinic_fc, type: linear, outputs: 3}]}, "
      "front_laboratory: {layers: [{name: laboratory_fc, type: linear, outputs: 3}]}, ";
  static constexpr const char* kTail =
      "tail: {layers: [{name: act, type: relu}, {name: out, type: linear, outputs: -1}]}}";
  const std::string mlp = std::string(kMlp) + ", cuts: ";
  const std::map<std::string, std::pair<std::string, std::string>> settings{
      {"federated", {kMlp, "[north, south]"}},
      {"local", {kMlp, "[pooled]"}},
      {"multi_hop", {"zoo: mlp, hidden: [5, 4, 3], cuts: [act1, act2, act3]", "[north, south]"}},
      {"u_shaped", {mlp + "[act1, act2]", "[north, south]"}},
      {"vanilla", {mlp + "[act1]", "[north, south]"}},
      {"vertical", {std::string(kFronts) + kTail, "[cohort]"}},
      {"vertical_server_labels", {std::string(kFronts) + kTail, "[cohort]"}},
      {"vertical_three",
       {std::string(kFronts) + "front_pharmacy: {layers: [{name: pharmacy_fc, type: linear, outputs: 3}]}, " + kTail, "[cohort]"}},
      {"vertical_u",
       {std::string(kFronts) + "body: {layers: [{name: act, type: relu}, {name: mid, type: linear, outputs: 2}]}, "
                               "head: {layers: [{name: act2, type: relu}, {name: out, type: linear, outputs: -1}]}}",
        "[cohort]"}},
  };
  const auto& [network, sites] = settings.at(topology);
  StudyConfig s = study(topology, network, privacy, sites);
  if (topology == "vertical_server_labels") s.data.party_tables["server"] = {};
  if (topology == "federated") s.schedule.average = {"whole"};
  return s;
}

inline NodeConfig& node_named(StudyConfig& study, const std::string& name) {
  for (NodeConfig& n : study.topology.nodes)
    if (n.name == name) return n;
  throw Error(Errc::kInternal, "the test names a node that is not there: " + name);
}

inline RouteConfig& route_named(StudyConfig& study, const std::string& from, const std::string& to) {
  for (RouteConfig& r : study.topology.routes)
    if (r.from == from && r.to == to) return r;
  throw Error(Errc::kInternal, "the test names a route that is not there: " + from + ">" + to);
}

inline int edge_named(const Plan& plan, const std::string& text) {
  for (std::size_t e = 0; e < plan.edges.size(); ++e)
    if (plan.edges[e].text == text) return static_cast<int>(e);
  throw Error(Errc::kInternal, "the test names an edge that is not there: " + text);
}

}  // namespace sutura::testing
