#pragma once
#include <cstdint>
#include <vector>

#include "runtime/config/study.h"
#include "runtime/data/csv.h"

namespace sutura {

/// The rows of a table that are records of the study, ascending, counted from 0: those that data.table.keep keeps and
/// data.table.leave_out does not leave out, and of those with equal texts in data.table.first_of the first in file
/// order. Nothing else of the other rows is ever looked at: a text in them that no column admits is no error.
/// Errors: kConfig for a column without texts to keep or leave out; kData for a column that the file lacks, and when no
/// row is left.
std::vector<std::int64_t> rows_of_study(const CsvTable& table, const TableConfig& config);

}  // namespace sutura
