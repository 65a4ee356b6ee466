#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "runtime/config/load_study.h"

namespace sutura::testing {

/// A folder of study files that goes away with the test.
class StudyFolder : public ::testing::Test {
 protected:
  StudyFolder() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              ("sutura_config_" + std::to_string(::getpid()) + "_" + test->test_suite_name() + "_" + test->name());
    for (std::size_t i; (i = folder_.native().find('/', folder_.native().rfind("sutura_config_"))) != std::string::npos;) {
      std::string flat = folder_.native();
      flat[i] = '_';
      folder_ = flat;
    }
    std::filesystem::create_directories(folder_);
  }
  ~StudyFolder() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path write(const std::string& name, std::string_view text) const {
    const auto path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  LoadedStudy load(std::string_view text, const std::vector<std::string>& overrides = {}) const {
    return load_study(write("study.yaml", text), overrides);
  }
  /// The whole report, with the folder's name taken out; empty when the study loads.
  std::string report(std::string_view text, const std::vector<std::string>& overrides = {}) const {
    return report_of(write("study.yaml", text), overrides);
  }
  std::string report_of(const std::filesystem::path& path, const std::vector<std::string>& overrides = {}) const {
    try {
      load_study(path, overrides);
      return {};
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kConfig);
      EXPECT_EQ(exit_status(e.code()), 3);
      return without_folder(e.what());
    }
  }
  std::string without_folder(std::string text) const {
    const std::string prefix = folder_.string() + "/";
    for (std::size_t i; (i = text.find(prefix)) != std::string::npos;) text.erase(i, prefix.size());
    return text;
  }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
};

/// A small complete study; line numbers in the tests count from its first line.
inline constexpr const char* kStudy = R"(study: demo
seed: 7
topology:
  name: vanilla
  parties:
    - {name: hospital, role: client, count: many}
    - {name: server, role: server}
  nodes:
    - {name: x, at: hospital, source: features}
    - {name: y, at: hospital, source: labels}
    - {name: front, at: hospital, segment: front}
    - {name: tail, at: server, segment: tail}
    - {name: loss, at: server, loss: study}
  routes:
    - {from: x, to: front}
    - {from: front, to: tail, activation: {guard: rows}}
    - {from: tail, to: loss}
    - {from: y, to: loss}
data:
  table:
    path: records.csv
    label: outcome
    classes: ["0", "1"]
  sites: [north, south]
  validation_fraction: 0.2
network:
  layers:
    - {name: one, type: linear, outputs: 8}
    - {name: two, type: linear, outputs: -1}
  cuts: [one]
training:
  loss: binary_cross_entropy
  epochs: 3
  optimizer:
    name: adamw
    learning_rate: 0.01
privacy:
  mechanism: rows
  regime: message-noise
  relation: replace-one
  epsilon: 2
  delta: 1e-5
  clip_norm: 1
  wire: int8
  labels: public
)";

/// kStudy with the one occurrence of `from` replaced.
inline std::string study_with(std::string_view from, std::string_view to, std::string text = kStudy) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(text.find(from, at + 1), std::string::npos) << from << " is there twice";
  return text.replace(at, from.size(), to);
}

}  // namespace sutura::testing
