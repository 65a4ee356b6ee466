#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sutura {

/// What a plain YAML scalar is under our strict rules: integers are decimal without leading zeros, booleans are
/// true and false only; everything else is text.
enum class ScalarKind { kText, kFlag, kInteger, kNumber };
ScalarKind scalar_kind(std::string_view plain);

/// Nothing when the text is no decimal integer or does not fit.
std::optional<std::int64_t> parse_integer(std::string_view plain);
/// Nothing when the text is no decimal number, or its value is not finite.
std::optional<double> parse_number(std::string_view plain);
/// Why a plain text that a person may take for a number or a boolean is none (`010`, `0x1F`, `yes`, `.inf`); may be
/// empty.
std::string scalar_hint(std::string_view plain);

/// Canonical texts: the same value always gives the same text, different values of one key never do.
std::string number_text(double value);
std::string quoted_text(std::string_view value);  ///< plain words as they are, all else in double quotes with escapes
std::string list_text(std::span<const std::string> items);
std::string texts_text(const std::vector<std::string>& values);
std::string integers_text(const std::vector<std::int64_t>& values);
std::string numbers_text(const std::vector<double>& values);

/// "did you mean NAME?", or "known here: ..." when nothing is near.
std::string nearest_hint(std::string_view word, const std::vector<std::string>& names);

}  // namespace sutura
