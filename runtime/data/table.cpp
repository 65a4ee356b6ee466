#include "runtime/data/table.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "core/error.h"
#include "runtime/data/row_filter.h"
#include "runtime/data/source_columns.h"

namespace sutura {
namespace {

void name_features(const CsvTable& table, const std::vector<SourceColumn>& columns, Records& out) {
  const auto add = [&](const std::string& column, const std::string& suffix, FeatureKind kind) {
    out.feature_names.push_back(column + suffix);
    out.feature_columns.push_back(column);
    out.kinds.push_back(kind);
  };
  for (const SourceColumn& c : columns) {
    const std::string& name = table.columns()[c.column];
    if (c.categories) {
      std::vector<std::string> words(c.values(), kAnythingElse);
      for (const auto& [word, position] : *c.categories) words[position] = word;
      for (const std::string& word : words) add(name, "=" + word, FeatureKind::kIndicator);
    } else {
      add(name, "", FeatureKind::kNumber);
      out.number_positions.push_back(c.number);
    }
    if (c.may_miss()) add(name, ":missing", FeatureKind::kIndicator);
  }
}

using Marks = std::set<std::string, std::less<>>;

/// Position of the known word that a text of a column of categories means, "*" excepted.
std::optional<std::size_t> known_word(const SourceColumn& c, std::string_view text) {
  const auto known = c.categories->find(c.ranges ? c.ranges->word(text) : text);
  return known == c.categories->end() ? std::nullopt : std::optional(known->second);
}

float number_of(const CsvTable& table, std::int64_t row, const SourceColumn& c, std::string_view text) {
  const auto given = c.numbers.find(text);
  return static_cast<float>(given == c.numbers.end() ? table.number(row, c.column) : given->second);
}

/// Writes the features of one field and returns how many there are. `marks`: the texts of data.table.missing.
std::size_t encode_field(const CsvTable& table, std::int64_t row, const SourceColumn& c, const Marks& marks,
                         std::span<float> out) {
  const std::string_view text = table.text(row, c.column);
  std::optional<std::size_t> word = c.categories ? known_word(c, text) : std::nullopt;
  const bool is_missing = !word && c.missing.contains(text);
  if (!word && !is_missing && marks.contains(text))
    throw Error(Errc::kData, table.place(row, c.column) +
                                 ": missing; a column where values may be missing belongs in data.table.missing_columns");
  const std::size_t n = c.values();
  if (c.categories) {
    if (!word && !is_missing) word = c.anything_else;
    if (!word && !is_missing)
      throw Error(Errc::kData, table.place(row, c.column) + ": not one of the values in data.table.categories");
    const std::size_t set = word.value_or(n);  // n: none of them
    for (std::size_t i = 0; i < n; ++i) out[i] = i == set ? 1.0f : 0.0f;
  } else {
    out[0] = is_missing ? std::numeric_limits<float>::quiet_NaN() : number_of(table, row, c, text);
  }
  if (!c.may_miss()) return n;
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
      require(index.emplace(text, next).second, Errc::kConfig, "data.table.classes: a label text stands for two classes");
    ++next;
  }
  return index;
}

Tensor encode_labels(const CsvTable& table, const TableConfig& config, std::span<const std::int64_t> rows) {
  if (config.label.empty()) return {};
  const std::size_t column = table.column(config.label, "data.table.label");
  const TextMap<std::int32_t> index = class_index(config);
  Tensor labels({static_cast<std::int64_t>(rows.size())}, index.empty() ? DType::kFloat32 : DType::kInt32);  // [N]
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (index.empty()) {
      labels.f32()[i] = static_cast<float>(table.number(rows[i], column));
      continue;
    }
    const auto found = index.find(table.text(rows[i], column));
    if (found == index.end()) throw Error(Errc::kData, table.place(rows[i], column) + ": not one of data.table.classes");
    labels.as<std::int32_t>()[i] = found->second;
  }
  return labels;
}

std::vector<std::int64_t> encode_groups(const CsvTable& table, const std::string& column, std::span<const std::int64_t> rows) {
  if (column.empty()) return {};
  const std::size_t at = table.column(column, "data.table.group");
  TextMap<std::int64_t> seen;
  std::vector<std::int64_t> groups;
  for (const std::int64_t row : rows)
    groups.push_back(seen.emplace(std::string(table.text(row, at)), static_cast<std::int64_t>(seen.size())).first->second);
  return groups;
}

/// Messages name rows, never the identifier.
std::vector<std::string> read_ids(const CsvTable& table, const std::string& column, std::span<const std::int64_t> rows) {
  if (column.empty()) return {};
  const std::size_t at = table.column(column, "data.table.id");
  TextMap<std::int64_t> seen;
  std::vector<std::string> ids;
  for (const std::int64_t row : rows) {
    ids.emplace_back(table.text(row, at));
    require(!ids.back().empty(), Errc::kData, table.place(row, at) + ": a record without an identifier");
    const auto [first, fresh] = seen.emplace(ids.back(), row);
    if (!fresh) throw Error(Errc::kData, table.place(row, at) + ": the same identifier as in " + table.place(first->second, at));
  }
  return ids;
}

}  // namespace

std::vector<std::int32_t> strata_of(const Records& records) {
  if (records.classes == 0) return std::vector<std::int32_t>(static_cast<std::size_t>(records.size()), 0);
  const auto labels = records.labels.as<std::int32_t>();
  return {labels.begin(), labels.end()};
}

Records encode_table(const CsvTable& table, const TableConfig& config, const std::string& partition_column,
                     const std::vector<std::string>& only) {
  SourceColumns chosen = source_columns(table, config, partition_column);
  if (!only.empty()) chosen = choose_columns(table, std::move(chosen), only);
  Records out;
  out.source = table.source();
  out.source_rows = rows_of_study(table, config);
  out.source_numbers = chosen.numeric;
  name_features(table, chosen.columns, out);
  const auto width = static_cast<std::int64_t>(out.kinds.size());
  out.features = Tensor({static_cast<std::int64_t>(out.source_rows.size()), width});  // [N, D]
  const std::span<float> values = out.features.f32();
  const Marks marks(config.missing.begin(), config.missing.end());
  std::size_t at = 0;
  for (const std::int64_t row : out.source_rows)
    for (const SourceColumn& c : chosen.columns) at += encode_field(table, row, c, marks, values.subspan(at));
  out.labels = encode_labels(table, config, out.source_rows);
  out.classes = static_cast<std::int64_t>(config.classes.size());
  out.groups = encode_groups(table, config.group, out.source_rows);
  out.ids = read_ids(table, config.id, out.source_rows);
  return out;
}

bool may_miss(const TableConfig& config) { return !config.missing_columns.empty() || !config.missing_in.empty(); }

std::string row_numbering(const TableConfig& config) {
  return config.columns.empty() ? "rows below a header line" : "rows, no header line";
}

std::vector<std::string> column_texts(const CsvTable& table, const Records& records, const std::string& column,
                                      const std::string& named_in) {
  const std::size_t at = table.column(column, named_in);
  std::vector<std::string> texts;
  for (const std::int64_t row : records.source_rows) texts.emplace_back(table.text(row, at));
  return texts;
}

}  // namespace sutura
