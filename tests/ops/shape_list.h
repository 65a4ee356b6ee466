#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace sutura::testing {

/// Rows of integers from tests/shapes/NAME.txt, the lists that serve correctness tests and benchmarks alike. One shape a line,
/// `#` starts a comment; every line must hold `columns` numbers.
std::vector<std::vector<std::int64_t>> shape_list(const std::string& name, std::size_t columns);

}  // namespace sutura::testing
