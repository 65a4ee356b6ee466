#pragma once
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

namespace sutura::privacy_tests {

struct ReferenceRow {
  std::string group, mechanism, relation, sigma, steps, delta, quantity, value, note;
};

/// Rows of one group of tests/fixtures/dp_reference.csv.
inline std::vector<ReferenceRow> reference_rows(const std::string& group) {
  std::ifstream file(std::string(SUTURA_SOURCE_DIR) + "/tests/fixtures/dp_reference.csv");
  EXPECT_TRUE(file.good());
  std::vector<ReferenceRow> rows;
  std::string line;
  while (std::getline(file, line)) {
    std::vector<std::string> cells(1);
    bool quoted = false;
    for (const char c : line) {
      if (c == '"') {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        cells.emplace_back();
      } else if (c != '\r') {
        cells.back() += c;
      }
    }
    if (cells.size() < 13 || cells[0] != group) continue;
    rows.push_back({cells[0], cells[1], cells[2], cells[3], cells[5], cells[6], cells[7], cells[8], cells[12]});
  }
  EXPECT_FALSE(rows.empty()) << "group " << group << " is missing";
  return rows;
}

}  // namespace sutura::privacy_tests
