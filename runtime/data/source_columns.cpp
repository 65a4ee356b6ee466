#include "runtime/data/source_columns.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/error.h"

namespace sutura {
namespace {

/// Refuses a column with two roles: a label or an identifier among the features is leakage, not a detail.
class Roles {
 public:
  void take(const std::string& column, const std::string& role) {
    const auto [at, fresh] = roles_.emplace(column, role);
    require(fresh, Errc::kConfig, "data.table: column '" + column + "' is named in both " + at->second + " and " + role);
  }
  bool taken(const std::string& column) const { return roles_.contains(column); }

 private:
  std::map<std::string, std::string> roles_;
};

SourceColumn category_column(const CsvTable& table, const std::string& name, const std::vector<std::string>& known) {
  const std::string where = "data.table.categories: column '" + name + "'";
  SourceColumn c;
  c.column = table.column(name, "data.table.categories");
  c.categories.emplace();
  for (const std::string& word : known) {
    require(!c.anything_else, Errc::kConfig, where + ": '*' is everything else and comes last");
    if (word == kAnythingElse)
      c.anything_else = c.categories->size();
    else
      require(c.categories->emplace(word, c.categories->size()).second, Errc::kConfig, where + " lists a value twice");
  }
  require(!c.categories->empty(), Errc::kConfig, where + " has no values");
  return c;
}

/// Columns that are never features, each with the setting that says so.
void set_aside(const CsvTable& table, const TableConfig& config, const std::string& partition_column, Roles& roles) {
  const auto aside = [&](const std::string& column, const std::string& role) {
    table.column(column, role);
    roles.take(column, role);
  };
  require(!config.label.empty() || !config.id.empty(), Errc::kConfig,
          "data.table.label is not named; only a party of a vertical study, with an id, goes without");
  require(!config.label.empty() || config.classes.empty(), Errc::kConfig,
          "data.table.classes are those of data.table.label, which is not named");
  if (!config.label.empty()) aside(config.label, "data.table.label");
  for (const std::string& name : config.drop) aside(name, "data.table.drop");
  // One patient number may be all of these; each only keeps it out of the features.
  const std::pair<std::string, std::string> others[] = {{partition_column, "data.partition.column"},
                                                        {config.group, "data.table.group"},
                                                        {config.first_of, "data.table.first_of"},
                                                        {config.id, "data.table.id"}};
  for (const auto& [column, role] : others) {
    require(column.empty() || column != config.label, Errc::kConfig, role + " names the label column");
    if (!column.empty() && !roles.taken(column)) aside(column, role);
  }
}

/// Finds feature columns by name.
class Columns {
 public:
  Columns(const CsvTable& table, std::vector<SourceColumn>& columns) : table_(table), columns_(columns) {}

  SourceColumn& feature(const std::string& name, const std::string& named_in) {
    const std::size_t at = table_.column(name, named_in);
    const auto c = std::find_if(columns_.begin(), columns_.end(), [&](const SourceColumn& s) { return s.column == at; });
    require(c != columns_.end(), Errc::kConfig, named_in + ": '" + name + "' is not a feature column");
    return *c;
  }

 private:
  const CsvTable& table_;
  std::vector<SourceColumn>& columns_;
};

void read_texts(const CsvTable& table, const TableConfig& config, std::vector<SourceColumn>& columns) {
  Columns found(table, columns);
  require(config.missing_columns.empty() || !config.missing.empty(), Errc::kConfig,
          "data.table.missing_columns needs data.table.missing, the texts that mark a missing value");
  for (const std::string& name : config.missing_columns)
    found.feature(name, "data.table.missing_columns").missing.insert(config.missing.begin(), config.missing.end());
  for (const auto& [name, texts] : config.missing_in) {
    require(!texts.empty(), Errc::kConfig, "data.table.missing_in: column '" + name + "' has no texts");
    found.feature(name, "data.table.missing_in").missing.insert(texts.begin(), texts.end());
  }
  for (const auto& [name, numbers] : config.numbers) {
    SourceColumn& c = found.feature(name, "data.table.numbers");
    require(!c.categories, Errc::kConfig, "data.table.numbers: '" + name + "' is a column of categories");
    for (const auto& [text, number] : numbers)
      require(std::abs(number) <= static_cast<double>(std::numeric_limits<float>::max()), Errc::kConfig,
              "data.table.numbers: column '" + name + "' has a number outside the range of float32");
    c.numbers.insert(numbers.begin(), numbers.end());
  }
  for (const auto& [name, words] : config.ranges) {
    SourceColumn& c = found.feature(name, "data.table.ranges");
    require(c.categories.has_value(), Errc::kConfig, "data.table.ranges: '" + name + "' is not in data.table.categories");
    for (const auto& [word, texts] : words)
      require(c.categories->contains(word), Errc::kConfig,
              "data.table.ranges: column '" + name + "': '" + word + "' is not one of its words in data.table.categories");
    c.ranges.emplace(name, words);
  }
}

}  // namespace

SourceColumns source_columns(const CsvTable& table, const TableConfig& config, const std::string& partition_column) {
  Roles roles;
  set_aside(table, config, partition_column, roles);
  for (const auto& [name, known] : config.categories) roles.take(name, "data.table.categories");
  SourceColumns out;
  const auto add_number = [&](std::size_t column) {
    SourceColumn c;
    c.column = column;
    c.number = out.numeric++;
    out.columns.push_back(std::move(c));
  };
  if (config.features.empty()) {
    for (std::size_t i = 0; i < table.columns().size(); ++i)
      if (!roles.taken(table.columns()[i])) add_number(i);
  } else {
    for (const std::string& name : config.features) {
      roles.take(name, "data.table.features");
      add_number(table.column(name, "data.table.features"));
    }
  }
  for (const auto& [name, known] : config.categories) out.columns.push_back(category_column(table, name, known));
  const bool labels_alone = !config.id.empty() && !config.label.empty();  // a registry of outcomes in a vertical study
  require(!out.columns.empty() || labels_alone, Errc::kConfig, "data.table: no column is left for the features");
  read_texts(table, config, out.columns);
  return out;
}

SourceColumns choose_columns(const CsvTable& table, SourceColumns from, const std::vector<std::string>& only) {
  require(!only.empty(), Errc::kConfig, "a party of a vertical study needs at least one column");
  SourceColumns out;
  out.numeric = from.numeric;
  std::set<std::string_view> seen;
  for (const std::string& name : only) {
    require(seen.insert(name).second, Errc::kConfig, "a party lists column '" + name + "' twice");
    const auto c = std::find_if(from.columns.begin(), from.columns.end(),
                                [&](const SourceColumn& s) { return table.columns()[s.column] == name; });
    require(c != from.columns.end(), Errc::kConfig, "column '" + name + "' of a party is not a feature column of the table");
    out.columns.push_back(std::move(*c));
  }
  return out;
}

}  // namespace sutura
