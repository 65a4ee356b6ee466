#include "tests/equivalence/split_run.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/random/philox.h"
#include "models/safetensors.h"

namespace sutura::testing {
namespace fs = std::filesystem;
namespace {

Dataset make_records(const Shape& record, std::int64_t count, PhiloxStream values, const std::vector<float>& rule) {
  Dataset d;
  d.features = Tensor(record.with_batch(count));  // [N, ...]
  d.labels = Tensor(Shape{count}, DType::kInt32);
  const std::size_t width = rule.size();
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    float score = 0.0f;
    for (std::size_t j = 0; j < width; ++j) {
      const float v = 2.0f * values.next_float() - 1.0f;
      d.features.f32()[i * width + j] = v;
      score += v * rule[j];
    }
    // Every eighth label is drawn, so that no network can be certain.
    const bool noisy = values.next_below(8) == 0;
    d.labels.as<std::int32_t>()[i] = noisy ? static_cast<std::int32_t>(values.next_below(2)) : (score > 0.0f ? 1 : 0);
  }
  return d;
}

std::string list_text(const std::vector<std::string>& items) {
  std::string all;
  for (const std::string& i : items) all += (all.empty() ? "" : ", ") + i;
  return "[" + all + "]";
}

std::string dims_text(const Shape& record) {
  std::vector<std::string> dims;
  for (int d = 1; d < record.rank(); ++d) dims.push_back(std::to_string(record[d]));
  return list_text(dims);
}

std::string yaml(const StudyText& t) {
  const bool own = t.topology.starts_with("topology:");
  return (own ? t.topology : "include: [" + t.topology + ".yaml]\n") + "study: s\nseed: " + std::to_string(t.seed) +
         "\ndata: {table: {path: unread.csv, label: y, classes: [\"0\", \"1\"]}, sites: " + list_text(t.sites) +
         ", record_shape: " + dims_text(t.record) + t.data_more + "}\nnetwork: {" + t.network + "}\nschedule: " + t.schedule +
         "\ntraining: {loss: binary_cross_entropy, epochs: " + std::to_string(t.epochs) +
         ", batch_size: " + std::to_string(t.batch_size) + ", micro_batches: " + std::to_string(t.micro_batches) +
         ", optimizer: " + t.optimizer + ", rate: " + t.rate + t.training_more +
         "}\nprivacy: " + t.privacy + "\ncompute: {default: {backend: " + t.backend + ", threads: 1}}\n";
}

bool same_bits(double a, double b) { return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b); }

Dataset borrowed(const Dataset& d) { return {Tensor::borrow(d.features), Tensor::borrow(d.labels)}; }

}  // namespace

std::string study_yaml(const StudyText& text) { return yaml(text); }

SiteData borrowed(const SiteData& site) {
  SiteData copy;
  copy.name = site.name;
  copy.classes = site.classes;
  copy.feature_names = site.feature_names;
  copy.feature_columns = site.feature_columns;
  copy.train = borrowed(site.train);
  copy.validation = borrowed(site.validation);
  copy.test = borrowed(site.test);
  return copy;
}

SiteData make_site(const std::string& name, const Shape& record, RecordCounts counts, std::uint64_t seed) {
  std::vector<float> rule(static_cast<std::size_t>(record.row_elements()));
  PhiloxStream draw(seed, "rule");
  for (float& v : rule) v = 2.0f * draw.next_float() - 1.0f;
  SiteData site;
  site.name = name;
  site.classes = 2;
  site.train = make_records(record, counts.train, {seed, "train:" + name}, rule);
  site.validation = make_records(record, counts.validation, {seed, "validation:" + name}, rule);
  site.test = make_records(record, counts.test, {seed, "test:" + name}, rule);
  if (record.rank() == 2)
    for (std::size_t j = 0; j < rule.size(); ++j) site.feature_columns.push_back("c" + std::to_string(j));
  site.feature_names = site.feature_columns;
  return site;
}

SiteData without_record(const SiteData& site, std::int64_t index) {
  SiteData fewer = borrowed(site);
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < site.train.size(); ++i)
    if (i != index) kept.push_back(i);
  fewer.train = {gather_rows(site.train.features, kept), gather_rows(site.train.labels, kept)};
  return fewer;
}

std::vector<double> Trained::losses() const {
  std::vector<double> all;
  for (const EpochRecord& r : result.epochs) all.push_back(r.train_loss.value_or(std::nan("")));
  return all;
}

std::vector<double> Trained::losses_of(const std::string& process) const {
  std::vector<double> all;
  std::ifstream lines(output / process / "metrics.jsonl");
  for (std::string line; std::getline(lines, line);) {
    const auto loss = nlohmann::json::parse(line).at("train_loss");
    all.push_back(loss.is_null() ? std::nan("") : loss.get<double>());
  }
  return all;
}

Weights Trained::weights() const {
  Weights all;
  for (const auto& [file, tensors] : files)
    for (const auto& [name, tensor] : tensors) EXPECT_TRUE(all.emplace(name, tensor.clone()).second) << name << " is there twice";
  return all;
}

std::string chain_topology(const std::string& loss_party) {
  return R"(topology:
  name: chain
  parties: [{name: hospital, role: client, count: many}, {name: server, role: server}]
  nodes:
    - {name: x, at: hospital, source: features}
    - {name: y, at: hospital, source: labels}
    - {name: a, at: hospital, segment: a}
    - {name: b, at: server, segment: b}
    - {name: c, at: hospital, segment: c}
    - {name: d, at: server, segment: d}
    - {name: loss, at: )" +
         loss_party + R"(, loss: study}
  routes:
    - {from: x, to: a}
    - {from: a, to: b}
    - {from: b, to: c}
    - {from: c, to: d}
    - {from: d, to: loss}
    - {from: y, to: loss}
)";
}

const char* const kFederated = R"(topology:
  name: federated
  parties: [{name: hospital, role: client, count: many}, {name: server, role: server}]
  nodes:
    - {name: x, at: hospital, source: features}
    - {name: y, at: hospital, source: labels}
    - {name: whole, at: hospital, segment: whole}
    - {name: loss, at: hospital, loss: study}
  routes: [{from: x, to: whole}, {from: whole, to: loss}, {from: y, to: loss}]
)";

SplitRun::SplitRun() {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string name = std::string(test->test_suite_name()) + "_" + test->name();
  std::ranges::replace(name, '/', '_');
  // Runs sync what they write: in memory that costs nothing.
  const fs::path memory = "/dev/shm";
  const fs::path scratch = ::access(memory.c_str(), W_OK) == 0 ? memory : fs::temp_directory_path();
  folder_ = scratch / ("sutura_equivalence_" + std::to_string(::getpid()) + "_" + name);
  fs::create_directories(folder_);
}

SplitRun::~SplitRun() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

Trained SplitRun::run(const StudyText& text, const std::vector<SiteData>& sites) {
  const fs::path folder = folder_ / std::to_string(runs_++);
  fs::create_directories(folder);
  if (!text.topology.starts_with("topology:"))
    fs::copy_file(fs::path(SUTURA_SOURCE_DIR) / "configs/topologies" / (text.topology + ".yaml"),
                  folder / (text.topology + ".yaml"));
  std::ofstream(folder / "study.yaml") << yaml(text);
  Trained t;
  t.study = std::make_unique<LoadedStudy>(load_study(folder / "study.yaml"));
  t.prepared = std::make_unique<Prepared>(prepare(*t.study, feature_rows(t.study->config, nullptr)));
  t.output = folder / "out";
  t.result = simulate(*t.prepared, sites, t.output, {});
  for (const auto& entry : fs::recursive_directory_iterator(t.output)) {
    if (entry.path().extension() != ".safetensors") continue;
    const fs::path kind = entry.path().parent_path();
    auto& found = kind.filename() == "weights" ? t.files : t.states;
    found[kind.parent_path().filename().string() + "/" + entry.path().stem().string()] = read_safetensors(entry.path());
  }
  EXPECT_FALSE(t.files.empty());
  return t;
}

std::string difference(const Weights& a, const Weights& b) {
  for (const auto& [name, value] : a) {
    const auto other = b.find(name);
    if (other == b.end()) return name + " is in the first alone";
    if (value.shape() != other->second.shape()) return name + " has another shape";
    if (std::memcmp(value.data(), other->second.data(), value.bytes_size()) != 0) return name + " has other bytes";
  }
  for (const auto& [name, value] : b)
    if (!a.contains(name)) return name + " is in the second alone";
  return {};
}

double relative_distance(const Weights& a, const Weights& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0.0, largest = 0.0;
  for (const auto& [name, value] : a) {
    const Tensor& other = b.at(name);
    EXPECT_EQ(value.shape(), other.shape()) << name;
    for (std::size_t i = 0; i < value.f32().size(); ++i) {
      most = std::max(most, std::abs(static_cast<double>(value.f32()[i]) - static_cast<double>(other.f32()[i])));
      largest = std::max(largest, std::abs(static_cast<double>(value.f32()[i])));
      if (!std::isfinite(value.f32()[i]) || !std::isfinite(other.f32()[i])) return std::numeric_limits<double>::infinity();
    }
  }
  return most / largest;
}

void expect_same_run(const Trained& split, const Trained& whole) {
  ASSERT_EQ(split.result.epochs.size(), whole.result.epochs.size());
  for (std::size_t e = 0; e < split.result.epochs.size(); ++e) {
    EXPECT_TRUE(same_bits(split.losses()[e], whole.losses()[e]))
        << "epoch " << e << ": " << split.losses()[e] << " and " << whole.losses()[e];
    const auto& a = split.result.epochs[e].validation;
    const auto& b = whole.result.epochs[e].validation;
    ASSERT_EQ(a.has_value(), b.has_value());
    if (a) {
      EXPECT_TRUE(same_bits(a->loss, b->loss)) << "validation after epoch " << e;
    }
  }
  ASSERT_TRUE(split.result.test && whole.result.test);
  EXPECT_TRUE(same_bits(split.result.test->loss, whole.result.test->loss)) << "test loss";
  ASSERT_EQ(split.result.scores.size(), whole.result.scores.size());
  for (const auto& [key, scores] : split.result.scores) {
    EXPECT_EQ(scores.values, whole.result.scores.at(key).values);
    EXPECT_EQ(scores.labels, whole.result.scores.at(key).labels);
  }
  EXPECT_EQ(difference(split.weights(), whole.weights()), "");
}

}  // namespace sutura::testing
