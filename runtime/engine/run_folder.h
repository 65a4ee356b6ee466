#pragma once
#include <filesystem>
#include <fstream>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "runtime/engine/study_run.h"

namespace sutura {

/// Everything a run writes: config_resolved.txt, metrics.jsonl, metrics.csv, weights/SEGMENT.safetensors, summary.json.
/// The same study, seed and backend write the same metrics, timings aside.
class RunFolder {
 public:
  /// Creates the folder. Errors: kResources.
  RunFolder(const std::filesystem::path& folder, const Prepared& prepared);
  /// Appends one line to each metrics file.
  void add(const EpochRecord& r);
  /// Segments held at the end, one file each; copies per lane get a suffix.
  void write_weights(Executor& executor);
  void write_summary(const nlohmann::json& summary);
  const std::filesystem::path& path() const { return folder_; }

 private:
  std::filesystem::path folder_;
  std::ofstream lines_;
  std::ofstream table_;
};

/// summary.json of a result: figures of the test records, speed, bytes per sample, privacy and egress.
nlohmann::json summary_of(const Prepared& prepared, const PartyResult& result, const std::string& instance);
/// One line per epoch as metrics.jsonl holds it.
nlohmann::json to_json(const EpochRecord& r);

}  // namespace sutura
