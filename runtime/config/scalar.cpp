#include "runtime/config/scalar.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "core/nearest_name.h"
#include "runtime/config/utf8.h"

namespace sutura {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

std::string_view without_sign(std::string_view s) {
  if (!s.empty() && (s[0] == '-' || s[0] == '+')) s.remove_prefix(1);
  return s;
}

std::size_t digits(std::string_view s) {
  return static_cast<std::size_t>(std::find_if_not(s.begin(), s.end(), digit) - s.begin());
}

bool integer_form(std::string_view s) {
  s = without_sign(s);
  return !s.empty() && digits(s) == s.size() && (s.size() == 1 || s[0] != '0');
}

bool number_form(std::string_view s) {
  s = without_sign(s);
  const std::size_t whole = digits(s);
  if (whole > 1 && s[0] == '0') return false;
  s.remove_prefix(whole);
  std::size_t fraction = 0;
  if (s.starts_with('.')) {
    fraction = digits(s.substr(1));
    s.remove_prefix(1 + fraction);
  }
  if (whole + fraction == 0) return false;
  if (s.empty()) return true;
  if (s[0] != 'e' && s[0] != 'E') return false;
  s = without_sign(s.substr(1));
  return !s.empty() && digits(s) == s.size();
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

ScalarKind scalar_kind(std::string_view plain) {
  if (plain == "true" || plain == "false") return ScalarKind::kFlag;
  if (integer_form(plain)) return ScalarKind::kInteger;
  return number_form(plain) ? ScalarKind::kNumber : ScalarKind::kText;
}

std::optional<std::int64_t> parse_integer(std::string_view plain) {
  if (!integer_form(plain)) return std::nullopt;
  if (plain[0] == '+') plain.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value);
  if (error != std::errc{} || end != plain.data() + plain.size()) return std::nullopt;
  return value;
}

std::optional<double> parse_number(std::string_view plain) {
  if (!number_form(plain)) return std::nullopt;
  if (plain[0] == '+') plain.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(plain.data(), plain.data() + plain.size(), value);
  if (error != std::errc{} || end != plain.data() + plain.size() || !std::isfinite(value)) return std::nullopt;
  return value == 0.0 ? 0.0 : value;  // -0 and 0 are one value in a plan
}

std::string scalar_hint(std::string_view plain) {
  const std::string word = lower(plain);
  const std::string_view unsigned_part = without_sign(word);
  static constexpr std::array kBooleans{"yes", "no", "on", "off", "y", "n", "true", "false"};
  if (std::find(kBooleans.begin(), kBooleans.end(), word) != kBooleans.end())
    return "booleans are written true or false, in small letters";
  if (unsigned_part == ".inf" || unsigned_part == ".nan" || unsigned_part == "inf" || unsigned_part == "nan" ||
      unsigned_part == "infinity")
    return "only finite numbers are allowed";
  if (unsigned_part.size() > 1 && unsigned_part[0] == '0' && digits(unsigned_part) == unsigned_part.size())
    return "a leading zero means octal to some readers; write the number without it";
  if (unsigned_part.starts_with("0x") || unsigned_part.starts_with("0o") || unsigned_part.starts_with("0b"))
    return "numbers are written in decimal";
  if (!unsigned_part.empty() && digit(unsigned_part[0]) && word.find_first_of("_,") != std::string::npos)
    return "write the number without separators";
  return {};
}

std::string number_text(double value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

std::string quoted_text(std::string_view value) {
  const auto wordy = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || digit(c) || c == '_' || c == '.' || c == '-' || c == '/' ||
           c == ':' || c == '>';
  };
  const bool word =
      !value.empty() && !digit(value[0]) && value[0] != '-' && value[0] != '.' && std::all_of(value.begin(), value.end(), wordy);
  if (word) return std::string(value);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\x";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string list_text(std::span<const std::string> items) {
  std::string out = "[";
  for (std::size_t i = 0; i < items.size(); ++i) out += (i == 0 ? "" : ", ") + items[i];
  return out + "]";
}

std::string texts_text(const std::vector<std::string>& values) {
  std::vector<std::string> items;
  for (const std::string& value : values) items.push_back(quoted_text(value));
  return list_text(items);
}

std::string integers_text(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(std::to_string(value));
  return list_text(items);
}

std::string numbers_text(const std::vector<double>& values) {
  std::vector<std::string> items;
  for (const double value : values) items.push_back(number_text(value));
  return items.size() == 1 ? items[0] : list_text(items);
}

std::string nearest_hint(std::string_view word, const std::vector<std::string>& names) {
  if (const auto near = nearest_name(word, names)) return "did you mean " + printable(*near) + "?";
  if (names.empty()) return {};
  std::string all;
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 20); ++i) all += (i == 0 ? "" : ", ") + printable(names[i]);
  return "known here: " + all + (names.size() > 20 ? ", ..." : "");
}

}  // namespace sutura
