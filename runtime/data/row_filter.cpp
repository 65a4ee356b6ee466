#include "runtime/data/row_filter.h"

#include <set>
#include <string>
#include <string_view>

#include "core/error.h"

namespace sutura {
namespace {

enum class Action { kKeep, kLeaveOut };

/// What the texts of one column decide about a row.
struct Rule {
  std::size_t column = 0;
  Action action = Action::kKeep;
  std::set<std::string, std::less<>> texts;
};

void add_rules(const CsvTable& table, const std::map<std::string, std::vector<std::string>>& from, Action action,
               const std::string& named_in, std::vector<Rule>& rules) {
  for (const auto& [column, texts] : from) {
    require(!texts.empty(), Errc::kConfig, named_in + ": column '" + column + "' has no texts");
    rules.push_back({table.column(column, named_in), action, {texts.begin(), texts.end()}});
  }
}

}  // namespace

std::vector<std::int64_t> rows_of_study(const CsvTable& table, const TableConfig& config) {
  std::vector<Rule> rules;
  add_rules(table, config.keep, Action::kKeep, "data.table.keep", rules);
  add_rules(table, config.leave_out, Action::kLeaveOut, "data.table.leave_out", rules);
  const std::optional<std::size_t> first_of =
      config.first_of.empty() ? std::nullopt : std::optional(table.column(config.first_of, "data.table.first_of"));
  std::set<std::string_view> seen;  // views into the table
  std::vector<std::int64_t> rows;
  for (std::int64_t row = 0; row < table.rows(); ++row) {
    bool wanted = true;
    for (const Rule& rule : rules)
      wanted = wanted && rule.texts.contains(table.text(row, rule.column)) == (rule.action == Action::kKeep);
    if (wanted && (!first_of || seen.insert(table.text(row, *first_of)).second)) rows.push_back(row);
  }
  require(!rows.empty(), Errc::kData, table.source() + ": data.table.keep and leave_out leave no row");
  return rows;
}

}  // namespace sutura
