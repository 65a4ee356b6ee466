#include "runtime/data/table.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/error.h"

namespace sutura {
namespace {

template <class Value>
using TextMap = std::map<std::string, Value, std::less<>>;  // looked up by string_view

/// One column of the file and the features that it becomes.
struct SourceColumn {
  std::size_t column = 0;
  std::optional<TextMap<std::size_t>> categories;  ///< absent: a number
  bool may_miss = false;
  std::size_t values() const { return categories ? categories->size() : 1; }
};

/// Refuses a column with two roles: a label or an identifier among the features is leakage, not a detail.
class Roles {
 public:
  void take(const std::string& column, const std::string& role) {
    const auto [at, fresh] = roles_.emplace(column, role);
    require(fresh, Errc::kConfig,
            "data.table: column '" + column + "' is named in both " + at->second + " and " + role);
  }
  bool taken(const std::string& column) const { return roles_.contains(column); }

 private:
  std::map<std::string, std::string> roles_;
};

SourceColumn category_column(const CsvTable& table, const std::string& name, const std::vector<std::string>& known) {
  SourceColumn c{table.column(name, "data.table.categories"), TextMap<std::size_t>{}, false};
  for (const std::string& value : known)
    require(c.categories->emplace(value, c.categories->size()).second, Errc::kConfig,
            "data.table.categories: column '" + name + "' lists a value twice");
  require(!known.empty(), Errc::kConfig, "data.table.categories: column '" + name + "' has no values");
  return c;
}

std::vector<SourceColumn> source_columns(const CsvTable& table, const TableConfig& config,
                                         const std::string& partition_column) {
  Roles roles;
  const auto set_aside = [&](const std::string& column, const std::string& role) {
    table.column(column, role);
    roles.take(column, role);
  };
  set_aside(config.label, "data.table.label");
  for (const std::string& name : config.drop) set_aside(name, "data.table.drop");
  // The patient number may also be what sites are cut by; both only keep it out of the features.
  if (!partition_column.empty() && !roles.taken(partition_column)) set_aside(partition_column, "data.partition.column");
  if (!config.group.empty() && !roles.taken(config.group)) set_aside(config.group, "data.table.group");
  require(config.group != config.label, Errc::kConfig, "data.table.group names the label column");

  for (const auto& [name, known] : config.categories) roles.take(name, "data.table.categories");
  std::vector<SourceColumn> columns;
  if (config.features.empty()) {
    for (std::size_t i = 0; i < table.columns().size(); ++i)
      if (!roles.taken(table.columns()[i])) columns.push_back({i, std::nullopt, false});
  } else {
    for (const std::string& name : config.features) {
      roles.take(name, "data.table.features");
      columns.push_back({table.column(name, "data.table.features"), std::nullopt, false});
    }
  }
  for (const auto& [name, known] : config.categories) columns.push_back(category_column(table, name, known));
  require(!columns.empty(), Errc::kConfig, "data.table: no column is left for the features");

  for (const std::string& name : config.missing_columns) {
    const std::size_t at = table.column(name, "data.table.missing_columns");
    const auto c = std::find_if(columns.begin(), columns.end(), [&](const SourceColumn& s) { return s.column == at; });
    require(c != columns.end(), Errc::kConfig, "data.table.missing_columns: '" + name + "' is not a feature column");
    c->may_miss = true;
  }
  require(config.missing_columns.empty() || !config.missing.empty(), Errc::kConfig,
          "data.table.missing_columns needs data.table.missing, the texts that mark a missing value");
  return columns;
}

void name_features(const CsvTable& table, const std::vector<SourceColumn>& columns, Records& out) {
  const auto add = [&](const std::string& column, const std::string& suffix, FeatureKind kind) {
    out.feature_names.push_back(column + suffix);
    out.feature_columns.push_back(column);
    out.kinds.push_back(kind);
  };
  for (const SourceColumn& c : columns) {
    const std::string& name = table.columns()[c.column];
    if (c.categories) {
      std::vector<std::string> values(c.categories->size());
      for (const auto& [value, position] : *c.categories) values[position] = value;
      for (const std::string& value : values) add(name, "=" + value, FeatureKind::kIndicator);
    } else {
      add(name, "", FeatureKind::kNumber);
    }
    if (c.may_miss) add(name, ":missing", FeatureKind::kIndicator);
  }
}

/// Writes the features of one field and returns how many there are.
std::size_t encode_field(const CsvTable& table, std::int64_t row, const SourceColumn& c,
                         const std::set<std::string, std::less<>>& missing, std::span<float> out) {
  const std::string_view text = table.text(row, c.column);
  const auto known = c.categories ? c.categories->find(text) : TextMap<std::size_t>::const_iterator{};
  const bool is_known = c.categories && known != c.categories->end();  // a mark that is listed as a value is a value
  const bool is_missing = !is_known && missing.contains(text);
  if (is_missing && !c.may_miss)
    throw Error(Errc::kData,
                table.place(row, c.column) +
                    ": missing; a column where values may be missing belongs in data.table.missing_columns");
  const std::size_t n = c.values();
  if (c.categories) {
    if (!is_known && !is_missing)
      throw Error(Errc::kData, table.place(row, c.column) + ": not one of the values in data.table.categories");
    for (std::size_t i = 0; i < n; ++i) out[i] = is_known && known->second == i ? 1.0f : 0.0f;
  } else {
    out[0] = is_missing ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(table.number(row, c.column));
  }
  if (!c.may_miss) return n;
  out[n] = is_missing ? 1.0f : 0.0f;
  return n + 1;
}

TextMap<std::int32_t> class_index(const TableConfig& config) {
  for (const auto& [name, texts] : config.class_texts)
    require(std::find(config.classes.begin(), config.classes.end(), name) != config.classes.end(), Errc::kConfig,
            "data.table.class_texts: '" + name + "' is not in data.table.classes");
  require(config.classes.size() != 1, Errc::kConfig, "data.table.classes needs two classes or more");
  TextMap<std::int32_t> index;
  std::int32_t next = 0;
  for (const std::string& name : config.classes) {
    const auto given = config.class_texts.find(name);
    const std::vector<std::string> texts = given == config.class_texts.end() ? std::vector{name} : given->second;
    require(!texts.empty(), Errc::kConfig, "data.table.class_texts: '" + name + "' has no texts");
    for (const std::string& text : texts)
      require(index.emplace(text, next).second, Errc::kConfig,
              "data.table.classes: a label text stands for two classes");
    ++next;
  }
  return index;
}

Tensor encode_labels(const CsvTable& table, const TableConfig& config) {
  const std::size_t column = table.column(config.label, "data.table.label");
  const TextMap<std::int32_t> index = class_index(config);
  Tensor labels({table.rows()}, index.empty() ? DType::kFloat32 : DType::kInt32);  // [N]
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    const auto i = static_cast<std::size_t>(row);
    if (index.empty()) {
      labels.f32()[i] = static_cast<float>(table.number(row, column));
      continue;
    }
    const auto found = index.find(table.text(row, column));
    if (found == index.end()) throw Error(Errc::kData, table.place(row, column) + ": not one of data.table.classes");
    labels.as<std::int32_t>()[i] = found->second;
  }
  return labels;
}

std::vector<std::int64_t> encode_groups(const CsvTable& table, const std::string& column) {
  if (column.empty()) return {};
  const std::size_t at = table.column(column, "data.table.group");
  TextMap<std::int64_t> seen;
  std::vector<std::int64_t> groups;
  for (std::int64_t row = 0; row < table.rows(); ++row)
    groups.push_back(
        seen.emplace(std::string(table.text(row, at)), static_cast<std::int64_t>(seen.size())).first->second);
  return groups;
}

}  // namespace

std::vector<std::int32_t> strata_of(const Records& records) {
  if (records.classes == 0) return std::vector<std::int32_t>(static_cast<std::size_t>(records.size()), 0);
  const auto labels = records.labels.as<std::int32_t>();
  return {labels.begin(), labels.end()};
}

Records encode_table(const CsvTable& table, const TableConfig& config, const std::string& partition_column) {
  const std::vector<SourceColumn> columns = source_columns(table, config, partition_column);
  Records out;
  out.source = table.source();
  name_features(table, columns, out);
  const auto width = static_cast<std::int64_t>(out.kinds.size());
  out.features = Tensor({table.rows(), width});  // [N, D]
  const std::span<float> values = out.features.f32();
  const std::set<std::string, std::less<>> missing(config.missing.begin(), config.missing.end());
  std::size_t at = 0;
  for (std::int64_t row = 0; row < table.rows(); ++row)
    for (const SourceColumn& c : columns) at += encode_field(table, row, c, missing, values.subspan(at));
  out.labels = encode_labels(table, config);
  out.classes = static_cast<std::int64_t>(config.classes.size());
  out.groups = encode_groups(table, config.group);
  return out;
}

std::vector<std::string> column_texts(const CsvTable& table, const std::string& column, const std::string& named_in) {
  const std::size_t at = table.column(column, named_in);
  std::vector<std::string> texts;
  for (std::int64_t row = 0; row < table.rows(); ++row) texts.emplace_back(table.text(row, at));
  return texts;
}

}  // namespace sutura
