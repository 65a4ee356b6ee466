#include "runtime/data/arrays.h"

#include <cmath>
#include <limits>
#include <map>
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
  require(s.rank() >= 2 && s.rank() <= 4, Errc::kData,
          array.source + ": features have two to four dimensions, got " + s.text());
  switch (layout.value_or(s.rank() == 2 ? Layout::kRows : Layout::kImages)) {
    case Layout::kRows:
      return {s[0], s.row_elements()};
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

Tensor class_labels(const NpyArray& array, std::int64_t classes) {
  const std::vector<std::int64_t> values = to_integers(array);
  Tensor labels({static_cast<std::int64_t>(values.size())}, DType::kInt32);  // [N]
  const auto out = labels.as<std::int32_t>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] < 0 || values[i] >= classes)
      throw Error(Errc::kData, array.source + ": record " + std::to_string(i) + " has a label outside 0.." +
                                   std::to_string(classes - 1));
    out[i] = static_cast<std::int32_t>(values[i]);
  }
  return labels;
}

Records read_split(const std::filesystem::path& path, const ArraysConfig& config, const std::string& features,
                   const std::string& labels) {
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
  out.labels =
      config.classes > 0 ? class_labels(raw_labels, config.classes) : to_float32(raw_labels).reshaped({shape[0]});
  out.kinds.assign(static_cast<std::size_t>(shape[shape.rank() - 1]), FeatureKind::kNumber);
  return out;
}

std::optional<Records> read_given_split(const std::filesystem::path& path, const ArraysConfig& config,
                                        const Records& train, const std::string& features, const std::string& labels) {
  require(features.empty() == labels.empty(), Errc::kConfig,
          "data.arrays: features and labels of a split are named together or not at all");
  if (features.empty()) return std::nullopt;
  Records split = read_split(path, config, features, labels);
  require(split.features.shape().with_batch(train.size()) == train.features.shape(), Errc::kData,
          split.source + ": records of shape " + split.features.shape().with_batch(1).text() +
              ", those for training have " + train.features.shape().with_batch(1).text());
  return split;
}

/// Numbers the groups 0, 1, ... in order of appearance.
std::vector<std::int64_t> read_groups(const std::filesystem::path& path, const std::string& name,
                                      std::int64_t records) {
  const NpyArray array = read_array(path, name);
  require(column_length(array) == records, Errc::kData,
          array.source + ": " + std::to_string(array.shape[0]) + " values for " + std::to_string(records) + " records");
  std::vector<std::int64_t> groups = to_integers(array);
  std::map<std::int64_t, std::int64_t> seen;
  for (std::int64_t& g : groups) g = seen.emplace(g, static_cast<std::int64_t>(seen.size())).first->second;
  return groups;
}

}  // namespace

ArrayRecords read_arrays(const std::filesystem::path& path, const ArraysConfig& config) {
  require(!config.train_features.empty() && !config.train_labels.empty(), Errc::kConfig,
          "data.arrays: the arrays of the training records are not named");
  require(std::isfinite(config.divide_by) && config.divide_by > 0.0, Errc::kConfig,
          "data.arrays.divide_by must be > 0");
  require(config.classes == 0 || (config.classes >= 2 && config.classes <= std::numeric_limits<std::int32_t>::max()),
          Errc::kConfig, "data.arrays.classes must be 0 (regression) or at least 2");
  // A record in two splits would have two numbers, and each would count only half of what is released of it.
  const std::string &train = config.train_features, &validation = config.validation_features,
                    &test = config.test_features;
  require(train != validation && train != test && (test.empty() || test != validation), Errc::kConfig,
          "data.arrays: one array of features is named for two splits");
  ArrayRecords out;
  out.digest = source_digest(path);
  out.train = read_split(path, config, config.train_features, config.train_labels);
  out.validation = read_given_split(path, config, out.train, config.validation_features, config.validation_labels);
  out.test = read_given_split(path, config, out.train, config.test_features, config.test_labels);
  out.numbering = "arrays " + train;
  std::int64_t next_row = out.train.size();
  for (auto* split : {&out.validation, &out.test}) {
    if (!*split) continue;
    (*split)->first_row = next_row;
    next_row += (*split)->size();
    out.numbering.append("/").append(split == &out.validation ? validation : test);
  }
  if (!config.train_groups.empty()) out.train.groups = read_groups(path, config.train_groups, out.train.size());
  return out;
}

}  // namespace sutura
