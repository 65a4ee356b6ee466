#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace sutura {

struct Comparison;

/// `sutura compare`: what each site or party gains from joining.
void add_compare_command(CLI::App& app, int& status);

/// "1,2,5" or "1..10", or both: "1..3,7". Errors: kUsage.
std::vector<std::uint64_t> parse_seeds(const std::string& text);
/// What a person reads: a table per figure, and what stands behind it.
std::string comparison_text(const Comparison& c);
nlohmann::json to_json(const Comparison& c);

}  // namespace sutura
