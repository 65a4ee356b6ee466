#include "shape_list.h"

#include <fstream>
#include <sstream>
#include <stdexcept>

namespace sutura::testing {

std::vector<std::vector<std::int64_t>> shape_list(const std::string& name, std::size_t columns) {
  const std::string path = std::string(SUTURA_SOURCE_DIR) + "/tests/shapes/" + name + ".txt";
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<std::vector<std::int64_t>> rows;
  for (std::string line; std::getline(file, line);) {
    std::istringstream numbers(line.substr(0, line.find('#')));
    std::vector<std::int64_t> row;
    for (std::int64_t n = 0; numbers >> n;) row.push_back(n);
    if (row.empty()) continue;
    if (row.size() != columns) throw std::runtime_error(path + ": a line has the wrong number of columns: " + line);
    rows.push_back(row);
  }
  if (rows.empty()) throw std::runtime_error(path + " lists no shape");
  return rows;
}

}  // namespace sutura::testing
