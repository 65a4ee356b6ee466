#pragma once
#include <string>
#include <vector>

#include "runtime/config/study.h"
#include "runtime/data/csv.h"
#include "runtime/data/records.h"

namespace sutura {

/// Turns columns of texts into features and labels.
/// Shapes: features [N, D]. The order is that of the study, never that of the data, so that all sites agree: the
/// numeric columns of data.table.features (file order if that is empty), then the columns of data.table.categories by
/// name, each as one 0/1 feature per known value ("sex=F"). A column of data.table.missing_columns is followed by one
/// more 0/1 feature, "NAME:missing". Numbers: a missing number is NaN here (standardising makes it the centre); a
/// missing category is all zeros. The label, partition, group and drop columns are never features. Errors: kConfig when
/// one column has two roles; kData with row and column for a text that is not a number, not a known category, not a
/// class, or a missing mark where none may stand.
Records encode_table(const CsvTable& table, const TableConfig& config, const std::string& partition_column = {});

/// The texts of one column, by record.
std::vector<std::string> column_texts(const CsvTable& table, const std::string& column, const std::string& named_in);

}  // namespace sutura
