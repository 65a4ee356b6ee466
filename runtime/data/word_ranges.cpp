#include "runtime/data/word_ranges.h"

#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "core/error.h"

namespace sutura {
namespace {

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.front() == '-' || status != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::pair<std::int64_t, std::int64_t>> as_range(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto first = whole_number(text.substr(0, dash)), last = whole_number(text.substr(dash + 1));
  if (!first || !last) return std::nullopt;
  return std::pair{*first, *last};
}

/// The whole part of a number that is not negative.
std::optional<std::int64_t> whole_part(std::string_view text) {
  double value = 0.0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  constexpr double kExact = 9007199254740992.0;  // 2^53: below it a double holds every whole number
  if (status != std::errc{} || end != text.data() + text.size() || !(value >= 0.0 && value < kExact)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

}  // namespace

WordRanges::WordRanges(const std::string& column, const std::map<std::string, std::vector<std::string>>& words) {
  const std::string where = "data.table.ranges: column '" + column + "'";
  for (const auto& [word, entries] : words) {
    require(!entries.empty(), Errc::kConfig, where + ": '" + word + "' has no texts");
    for (const std::string& entry : entries) {
      require(texts_.emplace(entry, word).second, Errc::kConfig, where + ": '" + entry + "' is listed twice");
      const auto range = as_range(entry);
      if (!range) continue;
      const auto [first, last] = *range;
      require(first <= last, Errc::kConfig, where + ": the range '" + entry + "' runs backwards");
      const auto next = ranges_.lower_bound(first);
      const bool overlaps =
          (next != ranges_.end() && next->first <= last) || (next != ranges_.begin() && std::prev(next)->second.last >= first);
      require(!overlaps, Errc::kConfig, where + ": the range '" + entry + "' overlaps another");
      ranges_.emplace(first, Range{last, word});
    }
  }
}

std::string_view WordRanges::word(std::string_view text) const {
  if (const auto exact = texts_.find(text); exact != texts_.end()) return exact->second;
  const auto number = whole_part(text);
  if (!number) return text;
  const auto after = ranges_.upper_bound(*number);
  if (after == ranges_.begin()) return text;
  const Range& range = std::prev(after)->second;
  return *number <= range.last ? std::string_view(range.word) : text;
}

}  // namespace sutura
