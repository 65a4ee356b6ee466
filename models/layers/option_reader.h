#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "models/registry.h"

namespace sutura {

/// Height and width.
using Pair = std::array<std::int64_t, 2>;

/// Reads the options of one layer or zoo network. Every option is asked for once, by the code that uses it, and finish()
/// refuses those that nobody asked for: a misspelt option is an error, never a silent default.
/// Errors: kConfig with the place ("layer conv1 (conv2d)"), the option and the nearest name or the allowed values.
class OptionReader {
 public:
  static constexpr std::int64_t kNoLimit = std::numeric_limits<std::int32_t>::max();

  OptionReader(std::string where, const Options& options) : where_(std::move(where)), options_(options) {}

  std::int64_t integer(const std::string& option, std::int64_t fallback, std::int64_t least, std::int64_t most = kNoLimit);
  /// An option without which the layer has no meaning.
  std::int64_t needed_integer(const std::string& option, std::int64_t least, std::int64_t most = kNoLimit);
  /// In [least, most); whole numbers are read as numbers too.
  double number(const std::string& option, double fallback, double least, double most);
  /// One integer for both directions, or [height, width].
  Pair pair(const std::string& option, Pair fallback, std::int64_t least);
  Pair needed_pair(const std::string& option, std::int64_t least);
  std::vector<std::int64_t> integers(const std::string& option, std::vector<std::int64_t> fallback, std::int64_t least);
  std::string choice(const std::string& option, const std::string& fallback, const std::vector<std::string>& allowed);
  bool has(const std::string& option);
  void finish() const;
  [[noreturn]] void fail(const std::string& what) const;
  const std::string& where() const { return where_; }

 private:
  const Option* find(const std::string& option);
  void need(const std::string& option);
  void check(const std::string& option, std::int64_t value, std::int64_t least, std::int64_t most) const;

  std::string where_;
  const Options& options_;
  std::vector<std::string> asked_;
};

}  // namespace sutura
