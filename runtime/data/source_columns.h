#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/config/study.h"
#include "runtime/data/csv.h"
#include "runtime/data/word_ranges.h"

namespace sutura {

template <class Value>
using TextMap = std::map<std::string, Value, std::less<>>;  // looked up by string_view

/// The last known word of a column of categories: every other text.
inline constexpr const char* kAnythingElse = "*";

/// One column of the file and the features that it becomes.
struct SourceColumn {
  std::size_t column = 0;
  std::optional<TextMap<std::size_t>> categories;  ///< known words and their positions; absent: a number
  std::optional<std::size_t> anything_else;        ///< position of all other words; absent: they are errors
  std::optional<WordRanges> ranges;                ///< what makes words of the texts
  TextMap<double> numbers;                         ///< texts that stand for a number
  std::set<std::string, std::less<>> missing;      ///< texts that mean "not there"; empty: none may stand here
  std::size_t number = 0;                          ///< numeric column: position among those of the whole table
  bool may_miss() const { return !missing.empty(); }
  std::size_t values() const { return categories ? categories->size() + (anything_else ? 1 : 0) : 1; }
};

/// The columns that become features, in the order of encode_table(), and how many of them are numeric.
struct SourceColumns {
  std::vector<SourceColumn> columns;
  std::size_t numeric = 0;
};

/// Errors: kConfig when a column has two roles or a setting names a column of another kind; kData for one that the file
/// lacks.
SourceColumns source_columns(const CsvTable& table, const TableConfig& config, const std::string& partition_column);
/// Only the feature columns named `only`, in that order: what one party of a vertical study holds of a shared table.
/// Errors: kConfig for a column that gives no feature or is listed twice.
SourceColumns choose_columns(const CsvTable& table, SourceColumns from, const std::vector<std::string>& only);

}  // namespace sutura
