#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/config/load_study.h"
#include "runtime/data/dataset.h"
#include "runtime/engine/study_run.h"

namespace sutura::testing {

/// Full parameter name -> values.
using Weights = std::map<std::string, Tensor>;

/// What a study that ran to its end left behind.
struct Trained {
  std::unique_ptr<LoadedStudy> study;  ///< `prepared` refers to it
  std::unique_ptr<Prepared> prepared;
  PartyResult result;
  std::map<std::string, Weights> files;  ///< "north/front" -> the segment's weights; copies per client: "server/tail.north"
  std::map<std::string, Weights> states;  ///< the same of the optimizers
  std::filesystem::path output;           ///< one folder per process, while the test runs

  std::vector<double> losses() const;
  /// Mean training loss of each epoch as this process wrote it; NaN where it knows none.
  std::vector<double> losses_of(const std::string& process) const;
  /// The weights of all files as one network. Fails the test where two files hold the same name.
  Weights weights() const;
};

/// Synthetic records that a linear rule separates roughly; a pure function of the arguments.
struct RecordCounts {
  std::int64_t train = 0, validation = 7, test = 5;
};
SiteData make_site(const std::string& name, const Shape& record, RecordCounts counts, std::uint64_t seed = 17);
/// The same site without the training record `index`.
SiteData without_record(const SiteData& site, std::int64_t index);
/// A copy whose tensors share the memory of `site`.
SiteData borrowed(const SiteData& site);

/// The parts of a study that the tests turn.
struct StudyText {
  std::string topology;            ///< the name of one that ships, or a section of its own ("topology:\n...")
  std::string network;             ///< "zoo: mlp, hidden: [8, 8], cuts: [act1]"
  std::vector<std::string> sites;  ///< lanes
  Shape record;                    ///< [1, ...]
  std::string schedule = "{visit: together}";
  std::int64_t batch_size = 8;
  std::int64_t micro_batches = 1;
  std::int64_t epochs = 2;
  std::uint64_t seed = 5;
  std::string optimizer = "{name: adamw, learning_rate: 0.02, weight_decay: 0.01}";
  std::string rate = "{schedule: cosine, warmup_fraction: 0.2}";
  std::string training_more;  ///< ", clip_gradients: 1"
  std::string backend = "reference";
  std::string privacy = "{mechanism: none, because: a test, labels: public}";
  std::string data_more;  ///< ", party_shapes: {...}"
};

/// The study file of these parts.
std::string study_yaml(const StudyText& text);

/// Segments a, b, c, d on hospital, server, hospital, server; the labels lie at the hospital, the loss at `loss_party`.
std::string chain_topology(const std::string& loss_party);
/// The whole network at every hospital; the server only averages.
extern const char* const kFederated;

/// Runs studies in one process, in a folder that goes away with the test.
class SplitRun : public ::testing::Test {
 protected:
  SplitRun();
  ~SplitRun() override;
  /// Errors: whatever load_study, prepare and simulate refuse.
  Trained run(const StudyText& text, const std::vector<SiteData>& sites);
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  int runs_ = 0;
};

/// Empty if all names and all bytes are the same; else the first difference in words.
std::string difference(const Weights& a, const Weights& b);
/// Largest |a - b| over all weights, relative to the largest |a|. Names and shapes must agree.
double relative_distance(const Weights& a, const Weights& b);
/// Compares losses, scores, final figures and weights to the last bit.
void expect_same_run(const Trained& split, const Trained& whole);

}  // namespace sutura::testing
