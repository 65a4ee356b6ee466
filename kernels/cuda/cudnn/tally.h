#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/cuda/cudnn/ops.h"

namespace sutura::cudnn {

#define SUTURA_NAME(op) std::string_view(#op),
inline constexpr std::array kOpNames{SUTURA_CUDNN_OPS(SUTURA_NAME)};
#undef SUTURA_NAME

/// Where an op stands in kOpNames.
consteval std::size_t index_of(std::string_view op) {
  std::size_t i = 0;
  while (kOpNames.at(i) != op) ++i;
  return i;
}

/// Who computed the ops that one stream was asked for. A recorded step asks once, however often it is replayed.
class Tally {
 public:
  struct Calls {
    std::uint64_t served = 0;  ///< by the libraries
    std::uint64_t ours = 0;
  };
  Calls& operator[](std::size_t op) { return calls_[op]; }
  /// "cudnn: conv2d_forward served 12 ours 0, linear_forward served 3 ours 1" and a line's end, with the ops that were asked for;
  /// empty where none was.
  std::string line() const;
  /// Writes line() to the error stream if the environment says SUTURA_CUDNN_REPORT=1: results do not tell the libraries' kernels
  /// from ours, so a measurement of the libraries asks for it.
  void report() const;

 private:
  std::array<Calls, kOpNames.size()> calls_{};
};

}  // namespace sutura::cudnn
