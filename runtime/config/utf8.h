#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace sutura {

/// One decoded character: `bytes` is 0 where the text is not valid UTF-8.
struct Utf8Character {
  char32_t code = 0;
  std::size_t bytes = 0;
};
/// Decodes the character at `offset` (< text.size()); overlong forms, surrogates and values above U+10FFFF are invalid.
Utf8Character utf8_at(std::string_view text, std::size_t offset);

/// 1-based column of the character that begins at or covers byte `offset`; invalid bytes count as one character each.
int character_column(std::string_view line, std::size_t offset);

/// Terminal cells of a character: 0 for combining marks, 2 for East Asian wide and emoji, else 1.
int display_cells(char32_t code);

/// A text as it may stand in a message: control characters become '?', longer than `limit` characters ends with "...".
std::string printable(std::string_view text, std::size_t limit = 60);

}  // namespace sutura
