#include "kernels/cuda/cudnn/tally.h"

#include <cstdlib>
#include <iostream>

namespace sutura::cudnn {

std::string Tally::line() const {
  std::string text;
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    if (calls_[i].served + calls_[i].ours == 0) continue;
    text.append(text.empty() ? "cudnn: " : ", ").append(kOpNames[i]);
    text.append(" served ").append(std::to_string(calls_[i].served)).append(" ours ").append(std::to_string(calls_[i].ours));
  }
  if (!text.empty()) text.push_back('\n');
  return text;
}

void Tally::report() const {
  const char* wanted = std::getenv("SUTURA_CUDNN_REPORT");
  if (wanted == nullptr || std::string_view(wanted) != "1") return;
  std::cerr << line() << std::flush;  // at once: other sessions' threads write too
}

}  // namespace sutura::cudnn
