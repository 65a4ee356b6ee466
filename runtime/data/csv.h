#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.h"

namespace sutura {

/// A table of texts as it stands in a CSV file. Messages count rows as a spreadsheet does: the header line is row 1.
/// Threads: const access from any number.
class CsvTable {
 public:
  const std::string& source() const { return source_; }
  const std::vector<std::string>& columns() const { return columns_; }
  /// BLAKE2b-256 of the file as it lies on disk; all zero for a text that was parsed from memory.
  const Digest& digest() const { return digest_; }
  std::int64_t rows() const;
  /// `row` counts data rows from 0.
  std::string_view text(std::int64_t row, std::size_t column) const;
  /// The field as a number: decimal or scientific notation with a point, the same in every locale.
  /// Numbers: finite and inside float32's range. Errors: kData with row and column, never with the text.
  double number(std::int64_t row, std::size_t column) const;
  std::optional<std::size_t> find(std::string_view column) const;
  /// Position of a column. Errors: kData with the file, the column and `named_in`, the setting that asks for it.
  std::size_t column(std::string_view name, std::string_view named_in) const;
  /// "FILE row 17, column 'age'"
  std::string place(std::int64_t row, std::size_t column) const;

 private:
  friend CsvTable parse_csv(std::string, std::string, const std::vector<std::string>&);
  friend CsvTable read_csv(const std::filesystem::path&, const std::vector<std::string>&, std::size_t);
  std::string source_;
  Digest digest_{};
  std::vector<std::string> columns_;
  std::string arena_;                // all fields, unquoted, one after another
  std::vector<std::uint32_t> ends_;  // end of each field in arena_, header included
  std::size_t header_fields_ = 0;    // fields of the header line: 0 or columns_.size()
};

inline constexpr std::size_t kCsvLimitBytes = std::size_t{1} << 31;

/// Parses RFC 4180 text: comma, double quotes, LF or CRLF, an optional UTF-8 byte order mark.
/// `columns` names the columns of a text without a header line; empty: row 1 is the header.
/// Errors: kData with source and row for ragged rows, stray quotes, NUL bytes, bare carriage returns, unnamed or
/// repeated columns, no data rows. Source: RFC 4180, section 2.
CsvTable parse_csv(std::string text, std::string source, const std::vector<std::string>& columns = {});
/// Reads a .csv or .csv.gz file. Errors: as parse_csv and read_text_or_gzip.
CsvTable read_csv(const std::filesystem::path& path, const std::vector<std::string>& columns = {},
                  std::size_t limit_bytes = kCsvLimitBytes);

}  // namespace sutura
