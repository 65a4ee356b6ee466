#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace sutura {

/// The known name that `wanted` was probably meant to be: least optimal string alignment distance (insert, delete,
/// replace, swap neighbours; case counts for nothing), at most a third of the longer name and at least one. The first of
/// equals wins; nothing if all are too far.
std::optional<std::string> nearest_name(std::string_view wanted, std::span<const std::string> known);

/// Text to append to an "unknown NAME" message: "; did you mean 'relu'?", or, when nothing is near, "; known: relu, gelu".
std::string name_hint(std::string_view wanted, std::span<const std::string> known);

}  // namespace sutura
