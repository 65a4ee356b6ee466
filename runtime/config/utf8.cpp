#include "runtime/config/utf8.h"

#include <algorithm>
#include <array>

namespace sutura {
namespace {

struct CodeRange {
  char32_t first, last;
};

// Enough of Unicode's tables to put a caret under the right letter.
constexpr std::array<CodeRange, 5> kCombining{
    {{0x0300, 0x036f}, {0x1ab0, 0x1aff}, {0x200b, 0x200f}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}}};
constexpr std::array<CodeRange, 9> kWide{{{0x1100, 0x115f},
                                          {0x2e80, 0xa4cf},
                                          {0xac00, 0xd7a3},
                                          {0xf900, 0xfaff},
                                          {0xfe30, 0xfe6f},
                                          {0xff00, 0xff60},
                                          {0xffe0, 0xffe6},
                                          {0x1f300, 0x1faff},
                                          {0x20000, 0x3fffd}}};

template <std::size_t N>
bool inside(const std::array<CodeRange, N>& ranges, char32_t code) {
  return std::any_of(ranges.begin(), ranges.end(), [&](CodeRange r) { return code >= r.first && code <= r.last; });
}

}  // namespace

Utf8Character utf8_at(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(offset);
  if (first < 0x80) return {first, 1};
  const std::size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || offset + bytes > text.size()) return {};
  char32_t code = first & (0x7fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(offset + i) & 0xc0u) != 0x80u) return {};
    code = (code << 6) | (byte(offset + i) & 0x3fu);
  }
  const char32_t smallest = bytes == 4 ? 0x10000 : bytes == 3 ? 0x800 : 0x80;
  if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, bytes};
}

int character_column(std::string_view line, std::size_t offset) {
  int column = 1;
  for (std::size_t i = 0; i < std::min(offset, line.size());) {
    const std::size_t bytes = std::max<std::size_t>(1, utf8_at(line, i).bytes);
    if (i + bytes > offset) break;
    i += bytes;
    ++column;
  }
  return column + static_cast<int>(offset > line.size() ? offset - line.size() : 0);
}

int display_cells(char32_t code) {
  if (inside(kCombining, code)) return 0;
  return inside(kWide, code) ? 2 : 1;
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  std::size_t characters = 0;
  for (std::size_t i = 0; i < text.size(); ++characters) {
    if (characters == limit) return out + "...";
    const Utf8Character c = utf8_at(text, i);
    const bool plain = c.bytes > 0 && c.code >= 0x20 && !(c.code >= 0x7f && c.code < 0xa0);
    out += plain ? std::string(text.substr(i, c.bytes)) : "?";
    i += std::max<std::size_t>(1, c.bytes);
  }
  return out;
}

}  // namespace sutura
