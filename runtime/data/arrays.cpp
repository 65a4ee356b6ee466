#include "runtime/data/arrays.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "core/error.h"
#include "runtime/data/npz.h"
#include "runtime/data/source_digest.h"

namespace sutura {
namespace {

Shape shape_of(const NpyArray& array, std::optional<Layout> layout) {
  const Shape& s = array.shape;
  require(s.rank() >= 1 && s[0] > 0 && s.elements() > 0, Errc::kData, array.source + ": holds no records");
  require(s.rank() >= 2 && s.rank() <= 4, Errc::kData, array.source + ": features have two to four dimensions, got " + s.text());
  switch (layout.value_or(s.rank() == 2 ? Layout::kRows : Layout::kImages)) {
    case Layout::kRows: return {s[0], s.row_elements()};
    case Layout::kImages:
      if (s.rank() == 3) return {s[0], s[1], s[2], 1};
      if (s.rank() == 4) return s;
      throw Error(Errc::kData, array.source + ": images have three or four dimensions, got " + s.text());
    case Layout::kSignals:
      if (s.rank() == 2) return {s[0], 1, s[1], 1};
      if (s.rank() == 3) return {s[0], 1, s[1], s[2]};
      throw Error(Errc::kData, array.source + ": signals have two or three dimensions, got " + s.text());
  }
  throw Error(Errc::kInternal, "a layout outside the list");
}

/// Length of an array with one value per record, [N] or [N, 1].
std::int64_t column_length(const NpyArray& array) {
  const Shape& s = array.shape;
  require(s.rank() == 1 || (s.rank() == 2 && s[1] == 1), Errc::kData,
          array.source + ": expected one value per record, got " + s.text());
  return s[0];
}

/// Classes of the records that the study takes, and their positions in the array.
struct ChosenClasses {
  std::vector<std::int32_t> labels;
  std::vector<std::int64_t> records;
};

ChosenClasses choose_classes(const NpyArray& array, const ArraysConfig& config) {
  const std::vector<std::int64_t> values = to_integers(array);
  const std::vector<std::int64_t>& known = config.class_values;
  ChosenClasses out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::int64_t label = values[i];
    if (!known.empty()) {
      const auto at = std::find(known.begin(), known.end(), values[i]);
      if (at == known.end()) continue;
      label = at - known.begin();
    } else if (label < 0 || label >= config.classes) {
      throw Error(Errc::kData, array.source + ": record " + std::to_string(i) + " has a label outside 0.." +
                                   std::to_string(config.classes - 1));
    }
    out.labels.push_back(static_cast<std::int32_t>(label));
    out.records.push_back(static_cast<std::int64_t>(i));
  }
  require(!out.records.empty(), Errc::kData, array.source + ": no label is one of data.arrays.class_values");
  return out;
}

/// One split; its array's rows are numbered from `next_row`, which moves on past them.
Records read_split(const std::filesystem::path& path, const ArraysConfig& config, const std::string& features,
                   const std::string& labels, std::int64_t& next_row) {
  Records out;
  const NpyArray raw = read_array(path, features);
  out.source = raw.source;
  const Shape shape = shape_of(raw, config.layout);
  const NpyArray raw_labels = read_array(path, labels);
  require(column_length(raw_labels) == shape[0], Errc::kData,
          raw.source + ": " + std::to_string(shape[0]) + " records, but " + labels + " has " +
              std::to_string(column_length(raw_labels)));
  out.features = to_float32(raw, config.divide_by).reshaped(shape);
  out.classes = config.classes;
  if (config.classes > 0) {
    ChosenClasses chosen = choose_classes(raw_labels, config);
    out.source_rows = std::move(chosen.records);
    if (out.source_rows.size() < static_cast<std::size_t>(shape[0])) out.features = gather_rows(out.features, out.source_rows);
    out.labels = Tensor({static_cast<std::int64_t>(chosen.labels.size())}, DType::kInt32);  // [N]
    std::copy(chosen.labels.begin(), chosen.labels.end(), out.labels.as<std::int32_t>().begin());
  } else {
    out.source_rows.resize(static_cast<std::size_t>(shape[0]));
    std::iota(out.source_rows.begin(), out.source_rows.end(), 0);
    out.labels = to_float32(raw_labels).reshaped({shape[0]});
  }
  for (std::int64_t& row : out.source_rows) row += next_row;
  next_row += shape[0];
  out.source_numbers = static_cast<std::size_t>(shape[shape.rank() - 1]);
  out.kinds.assign(out.source_numbers, FeatureKind::kNumber);
  out.number_positions.resize(out.source_numbers);
  std::iota(out.number_positions.begin(), out.number_positions.end(), std::size_t{0});
  return out;
}

std::optional<Records> read_given_split(const std::filesystem::path& path, const ArraysConfig& config, const Records& train,
                                        const std::string& features, const std::string& labels, std::int64_t& next_row) {
  require(features.empty() == labels.empty(), Errc::kConfig,
          "data.arrays: features and labels of a split are named together or not at all");
  if (features.empty()) return std::nullopt;
  Records split = read_split(path, config, features, labels, next_row);
  require(split.features.shape().with_batch(train.size()) == train.features.shape(), Errc::kData,
          split.source + ": records of shape " + split.features.shape().with_batch(1).text() + ", those for training have " +
              train.features.shape().with_batch(1).text());
  return split;
}

/// One whole number per row of an array with `rows` records: those of the records chosen from it.
std::vector<std::int64_t> read_column(const std::filesystem::path& path, const std::string& name, std::int64_t rows,
                                      std::span<const std::int64_t> chosen) {
  const NpyArray array = read_array(path, name);
  require(column_length(array) == rows, Errc::kData,
          array.source + ": " + std::to_string(array.shape[0]) + " values for " + std::to_string(rows) + " records");
  const std::vector<std::int64_t> all = to_integers(array);
  std::vector<std::int64_t> out;
  for (const std::int64_t row : chosen) out.push_back(all[static_cast<std::size_t>(row)]);
  return out;
}

/// Numbers the groups 0, 1, ... in order of appearance.
void renumber(std::vector<std::int64_t>& groups) {
  std::map<std::int64_t, std::int64_t> seen;
  for (std::int64_t& g : groups) g = seen.emplace(g, static_cast<std::int64_t>(seen.size())).first->second;
}

void check(const ArraysConfig& config) {
  require(!config.train_features.empty() && !config.train_labels.empty(), Errc::kConfig,
          "data.arrays: the arrays of the training records are not named");
  require(std::isfinite(config.divide_by) && config.divide_by > 0.0, Errc::kConfig, "data.arrays.divide_by must be > 0");
  require(config.classes == 0 || (config.classes >= 2 && config.classes <= std::numeric_limits<std::int32_t>::max()),
          Errc::kConfig, "data.arrays.classes must be 0 (regression) or at least 2");
  const std::set<std::int64_t> values(config.class_values.begin(), config.class_values.end());
  require(values.size() == config.class_values.size(), Errc::kConfig, "data.arrays.class_values lists a value twice");
  require(values.empty() || static_cast<std::int64_t>(values.size()) == config.classes, Errc::kConfig,
          "data.arrays.class_values lists " + std::to_string(values.size()) + " values for " + std::to_string(config.classes) +
              " classes");
  // A record in two splits would have two numbers, and each would count only half of what is released of it.
  const std::string &train = config.train_features, &validation = config.validation_features, &test = config.test_features;
  require(train != validation && train != test && (test.empty() || test != validation), Errc::kConfig,
          "data.arrays: one array of features is named for two splits");
}

}  // namespace

ArrayRecords read_arrays(const std::filesystem::path& path, const ArraysConfig& config, const std::string& partition_array) {
  check(config);
  ArrayRecords out;
  out.digest = source_digest(path);
  std::int64_t next_row = 0;
  out.train = read_split(path, config, config.train_features, config.train_labels, next_row);
  const std::int64_t train_rows = next_row;
  out.validation = read_given_split(path, config, out.train, config.validation_features, config.validation_labels, next_row);
  out.test = read_given_split(path, config, out.train, config.test_features, config.test_labels, next_row);
  out.numbering = "arrays " + config.train_features;
  for (const std::string& given : {config.validation_features, config.test_features})
    if (!given.empty()) out.numbering.append("/").append(given);
  if (!config.train_groups.empty()) {
    out.train.groups = read_column(path, config.train_groups, train_rows, out.train.source_rows);
    renumber(out.train.groups);
  }
  if (!partition_array.empty())
    for (const std::int64_t site : read_column(path, partition_array, train_rows, out.train.source_rows))
      out.site_texts.push_back(std::to_string(site));
  return out;
}

}  // namespace sutura
