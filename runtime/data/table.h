#pragma once
#include <string>
#include <vector>

#include "runtime/config/study.h"
#include "runtime/data/csv.h"
#include "runtime/data/records.h"

namespace sutura {

/// Turns columns of texts into features and labels. Rows that rows_of_study() does not give are no records.
/// Shapes: features [N, D]. The order is that of the study, never that of the data, so that all sites agree: the
/// numeric columns of data.table.features (file order if that is empty), then the columns of data.table.categories by
/// name, each as one 0/1 feature per known word ("sex=F", and "sex=*" for any other where "*" is the last known word). A
/// column of data.table.missing_columns or missing_in is followed by one more 0/1 feature, "NAME:missing". With `only`,
/// no column but those is encoded, in the order of `only`.
/// Numbers: a missing number is NaN here (standardising makes it the centre); a missing category is all zeros. A text
/// that marks a missing value is one even where "*" would take it or data.table.numbers knows it; one that is a known
/// word is that word.
/// The label, partition, group, first_of, id and drop columns are never features.
/// Errors: kConfig when one column has two roles; kData with row and column for a text that is not a number, not a known
/// word, not a class, a missing mark where none may stand, or an identifier that is empty or comes twice.
Records encode_table(const CsvTable& table, const TableConfig& config, const std::string& partition_column = {},
                     const std::vector<std::string>& only = {});

/// Whether the study lets values of a feature be missing, which only standardising can fill.
bool may_miss(const TableConfig& config);
/// What the source rows of such a table are counted over, as SiteData::source_numbering.
std::string row_numbering(const TableConfig& config);

/// The texts of one column, by record of `records`, which came from `table`.
std::vector<std::string> column_texts(const CsvTable& table, const Records& records, const std::string& column,
                                      const std::string& named_in);

}  // namespace sutura
