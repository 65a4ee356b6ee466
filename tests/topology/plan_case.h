#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
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
                        << (topology == "vertical" ? ", party_shapes: {clinic: [4], laboratory: [2]}" : "") << "}\nnetwork: {"
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

 private:
  std::filesystem::path folder_;
};

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

inline constexpr const char* kVerticalSegments =
    "segments: {front_clinic: {layers: [{name: clinic_fc, type: linear, outputs: 3}]}, "
    "front_laboratory: {layers: [{name: laboratory_fc, type: linear, outputs: 2}]}, "
    "tail: {layers: [{name: act, type: relu}, {name: out, type: linear, outputs: -1}]}}";

}  // namespace sutura::testing
