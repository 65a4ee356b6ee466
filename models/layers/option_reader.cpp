#include "models/layers/option_reader.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "core/error.h"
#include "core/nearest_name.h"

namespace sutura {

void OptionReader::fail(const std::string& what) const { throw Error(Errc::kConfig, where_ + ": " + what); }

const Option* OptionReader::find(const std::string& option) {
  if (std::find(asked_.begin(), asked_.end(), option) == asked_.end()) asked_.push_back(option);
  const auto it = options_.find(option);
  return it == options_.end() ? nullptr : &it->second;
}

bool OptionReader::has(const std::string& option) { return find(option) != nullptr; }

void OptionReader::need(const std::string& option) {
  if (!has(option)) {
    // A misspelt option looks like a missing one: name the spelling mistake first.
    for (const auto& [name, value] : options_)
      if (nearest_name(name, asked_) == option) fail("unknown option '" + name + "'; did you mean '" + option + "'?");
    fail("needs the option '" + option + "'");
  }
}

void OptionReader::check(const std::string& option, std::int64_t value, std::int64_t least, std::int64_t most) const {
  if (value >= least && value <= most) return;
  const std::string range =
      most == kNoLimit ? "at least " + std::to_string(least) : std::to_string(least) + " to " + std::to_string(most);
  fail("option '" + option + "' must be " + range + ", got " + std::to_string(value));
}

std::int64_t OptionReader::integer(const std::string& option, std::int64_t fallback, std::int64_t least, std::int64_t most) {
  const Option* o = find(option);
  if (o == nullptr) return fallback;
  const auto* value = std::get_if<std::int64_t>(o);
  if (value == nullptr) fail("option '" + option + "' must be a whole number");
  check(option, *value, least, most);
  return *value;
}

std::int64_t OptionReader::needed_integer(const std::string& option, std::int64_t least, std::int64_t most) {
  need(option);
  return integer(option, 0, least, most);
}

double OptionReader::number(const std::string& option, double fallback, double least, double most) {
  const Option* o = find(option);
  if (o == nullptr) return fallback;
  double value = 0.0;
  if (const auto* whole = std::get_if<std::int64_t>(o))
    value = static_cast<double>(*whole);
  else if (const auto* real = std::get_if<double>(o))
    value = *real;
  else
    fail("option '" + option + "' must be a number");
  if (!(value >= least && value < most)) {
    std::ostringstream range;
    range << "option '" << option << "' must be at least " << least << " and below " << most << ", got " << value;
    fail(range.str());
  }
  return value;
}

Pair OptionReader::pair(const std::string& option, Pair fallback, std::int64_t least) {
  const Option* o = find(option);
  if (o == nullptr) return fallback;
  Pair p{};
  if (const auto* both = std::get_if<std::int64_t>(o)) {
    p = {*both, *both};
  } else if (const auto* list = std::get_if<std::vector<std::int64_t>>(o); list != nullptr && list->size() == 2) {
    p = {(*list)[0], (*list)[1]};
  } else {
    fail("option '" + option + "' must be a whole number or [height, width]");
  }
  for (const std::int64_t v : p) check(option, v, least, kNoLimit);
  return p;
}

Pair OptionReader::needed_pair(const std::string& option, std::int64_t least) {
  need(option);
  return pair(option, {}, least);
}

std::vector<std::int64_t> OptionReader::integers(const std::string& option, std::vector<std::int64_t> fallback,
                                                 std::int64_t least) {
  const Option* o = find(option);
  if (o == nullptr) return fallback;
  std::vector<std::int64_t> values;
  if (const auto* one = std::get_if<std::int64_t>(o))
    values = {*one};
  else if (const auto* list = std::get_if<std::vector<std::int64_t>>(o))
    values = *list;
  // An empty YAML list has no element type, so it may arrive as the other kind of list.
  else if (const auto* reals = std::get_if<std::vector<double>>(o); reals == nullptr || !reals->empty())
    fail("option '" + option + "' must be a list of whole numbers");
  for (const std::int64_t v : values) check(option, v, least, kNoLimit);
  return values;
}

std::string OptionReader::choice(const std::string& option, const std::string& fallback,
                                 const std::vector<std::string>& allowed) {
  const Option* o = find(option);
  if (o == nullptr) return fallback;
  const auto* value = std::get_if<std::string>(o);
  if (value == nullptr || std::find(allowed.begin(), allowed.end(), *value) == allowed.end())
    fail("option '" + option + "' has no such value" + name_hint(value == nullptr ? "" : *value, allowed));
  return *value;
}

void OptionReader::finish() const {
  for (const auto& [name, value] : options_) {
    if (std::find(asked_.begin(), asked_.end(), name) != asked_.end()) continue;
    fail("unknown option '" + name + "'" + (asked_.empty() ? "; it takes no options" : name_hint(name, asked_)));
  }
}

}  // namespace sutura
