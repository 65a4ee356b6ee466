#include "runtime/data/csv.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "core/error.h"
#include "runtime/data/gzip.h"

namespace sutura {
namespace {

std::string count_of(std::size_t n, const char* what) { return std::to_string(n) + " " + what + (n == 1 ? "" : "s"); }

/// Walks the text once and packs the fields to its front: an unquoted field is never longer than its source.
class CsvParser {
 public:
  CsvParser(std::string& text, const std::string& source, std::vector<std::uint32_t>& ends)
      : text_(text), source_(source), ends_(ends), read_(text.starts_with("\xEF\xBB\xBF") ? 3 : 0) {}

  bool at_end() const { return read_ == text_.size(); }
  std::size_t row() const { return row_; }
  std::size_t packed() const { return write_; }

  /// Parses one row and returns its number of fields.
  std::size_t parse_row() {
    ++row_;
    for (std::size_t fields = 1;; ++fields) {
      if (!at_end() && text_[read_] == '"')
        quoted_field();
      else
        plain_field();
      ends_.push_back(static_cast<std::uint32_t>(write_));
      if (at_end()) return fields;
      const char c = text_[read_++];
      if (c == ',') continue;
      if (c == '\r') {
        check(!at_end() && text_[read_] == '\n', "a carriage return without a line feed");
        ++read_;
      }
      return fields;
    }
  }

 private:
  void check(bool condition, const char* what) const {
    if (!condition) throw Error(Errc::kData, source_ + " row " + std::to_string(row_) + ": " + what);
  }
  void keep(char c) {
    check(c != '\0', "a NUL byte");
    text_[write_++] = c;
  }
  void plain_field() {
    for (; !at_end(); ++read_) {
      const char c = text_[read_];
      if (c == ',' || c == '\n' || c == '\r') return;
      check(c != '"', "a quote inside a field that does not begin with one");
      keep(c);
    }
  }
  void quoted_field() {
    for (++read_;;) {
      check(!at_end(), "a quoted field does not end");
      const char c = text_[read_++];
      if (c != '"') {
        keep(c);
      } else if (!at_end() && text_[read_] == '"') {
        keep(text_[read_++]);
      } else {
        break;
      }
    }
    check(at_end() || text_[read_] == ',' || text_[read_] == '\n' || text_[read_] == '\r',
          "text after a closing quote");
  }

  std::string& text_;
  const std::string& source_;
  std::vector<std::uint32_t>& ends_;
  std::size_t read_;
  std::size_t write_ = 0;
  std::size_t row_ = 0;
};

void check_names(const std::vector<std::string>& names, const std::string& source) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < names.size(); ++i) {
    require(!names[i].empty(), Errc::kData, source + ": column " + std::to_string(i + 1) + " has no name");
    require(seen.insert(names[i]).second, Errc::kData, source + ": two columns are named '" + names[i] + "'");
  }
}

}  // namespace

CsvTable parse_csv(std::string text, std::string source, const std::vector<std::string>& columns) {
  require(text.size() <= std::numeric_limits<std::uint32_t>::max(), Errc::kData, source + ": larger than 4 GiB");
  CsvTable table;
  table.source_ = std::move(source);
  CsvParser parser(text, table.source_, table.ends_);
  require(!parser.at_end(), Errc::kData, table.source_ + ": the file is empty");
  if (columns.empty()) {
    table.header_fields_ = parser.parse_row();
    std::size_t begin = 0;
    for (const std::uint32_t end : table.ends_) {
      table.columns_.push_back(text.substr(begin, end - begin));
      begin = end;
    }
  } else {
    table.columns_ = columns;
  }
  check_names(table.columns_, table.source_);
  while (!parser.at_end()) {
    const std::size_t fields = parser.parse_row();
    if (fields == table.columns_.size()) continue;
    throw Error(Errc::kData, table.source_ + " row " + std::to_string(parser.row()) + ": " + count_of(fields, "field") +
                                 (columns.empty() ? ", the header has " : ", data.table.columns has ") +
                                 std::to_string(table.columns_.size()));
  }
  text.resize(parser.packed());
  table.arena_ = std::move(text);
  require(table.rows() > 0, Errc::kData, table.source_ + ": no data rows");
  return table;
}

CsvTable read_csv(const std::filesystem::path& path, const std::vector<std::string>& columns, std::size_t limit_bytes) {
  TextFile file = read_text_or_gzip(path, limit_bytes);
  CsvTable table = parse_csv(std::move(file.text), path.string(), columns);
  table.digest_ = file.digest;
  return table;
}

std::int64_t CsvTable::rows() const {
  return static_cast<std::int64_t>((ends_.size() - header_fields_) / columns_.size());
}

std::string_view CsvTable::text(std::int64_t row, std::size_t column) const {
  require(row >= 0 && row < rows() && column < columns_.size(), Errc::kInvalidArgument, "a field outside the table");
  const std::size_t i = header_fields_ + static_cast<std::size_t>(row) * columns_.size() + column;
  const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(arena_).substr(begin, ends_[i] - begin);
}

double CsvTable::number(std::int64_t row, std::size_t column) const {
  const std::string_view field = text(row, column);
  double value = 0.0;
  const auto [end, status] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (status == std::errc::invalid_argument || end != field.data() + field.size())
    throw Error(Errc::kData, place(row, column) + ": not a number");
  // from_chars takes "inf" and "nan" as numbers; a table of measurements does not.
  if (status == std::errc{} && !std::isfinite(value))
    throw Error(Errc::kData, place(row, column) + ": not a finite number");
  if (status != std::errc{} || std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()))
    throw Error(Errc::kData, place(row, column) + ": outside the range of float32");
  return value;
}

std::optional<std::size_t> CsvTable::find(std::string_view column) const {
  for (std::size_t i = 0; i < columns_.size(); ++i)
    if (columns_[i] == column) return i;
  return std::nullopt;
}

std::size_t CsvTable::column(std::string_view name, std::string_view named_in) const {
  if (const auto i = find(name)) return *i;
  throw Error(Errc::kData,
              source_ + ": no column '" + std::string(name) + "', which " + std::string(named_in) + " names");
}

std::string CsvTable::place(std::int64_t row, std::size_t column) const {
  const std::int64_t shown = row + (header_fields_ > 0 ? 2 : 1);
  return source_ + " row " + std::to_string(shown) + ", column '" + columns_[column] + "'";
}

}  // namespace sutura
