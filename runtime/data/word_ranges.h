#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sutura {

/// Words that stand for many texts of one column: "circulatory" for "390-459" and "785-785".
/// "A-B" with whole numbers A <= B is a range of numbers from A up to, but without, B + 1: by the whole part, so 459.9
/// belongs to "390-459" and "250-250" is all of 250. Every entry also means its own exact text, and exact texts win over
/// ranges. Threads: const access from any number.
class WordRanges {
 public:
  /// Errors: kConfig with the column when a text or a number belongs to two words, a word has no entries, or a range
  /// runs backwards.
  WordRanges(const std::string& column, const std::map<std::string, std::vector<std::string>>& words);
  /// The word of a text; the text itself where it belongs to none.
  std::string_view word(std::string_view text) const;

 private:
  struct Range {
    std::int64_t last = 0;  ///< whole part of the largest number in it
    std::string word;
  };
  std::map<std::string, std::string, std::less<>> texts_;
  std::map<std::int64_t, Range> ranges_;  // by first number; they do not overlap
};

}  // namespace sutura
