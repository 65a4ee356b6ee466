#pragma once
#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace sutura {

/// Mean of all rows seen so far, in float64: what stands in for a party that is missing. Threads: one.
class RunningMean {
 public:
  /// Adds the rows [n, ...], float32.
  void add(const Tensor& rows);
  /// A tensor of this shape ([n, ...], float32) whose rows are all the mean; zeros before the first row.
  Tensor rows(const Shape& shape) const;
  std::int64_t count() const { return count_; }

 private:
  std::vector<double> sums_;  // [row elements]
  std::int64_t count_ = 0;
};

}  // namespace sutura
