#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace sutura {

struct Decision {
  std::string event;
  std::string who;
  std::int64_t round = 0;
  std::uint64_t step = 0;
  int turn = 0, part = 0, instruction = 0;
  std::string reason;
};

class Decisions {
 public:
  explicit Decisions(const std::filesystem::path&, const std::filesystem::path&) {}
  void add(const Decision&) {}
  bool replaying() const { return false; }
  std::vector<std::string> joined(std::int64_t) const { return {}; }
};

}  // namespace sutura
