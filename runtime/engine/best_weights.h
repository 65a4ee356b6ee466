#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/engine/executor.h"

namespace sutura {

/// training.keep: best: a copy of every trained segment held here, with its optimizer's state so that a later run can go on
/// from it. Memory: as much as the segments and their optimizers.
class BestWeights {
 public:
  /// Takes the weights as they are now in place of those taken before.
  void take(Executor& executor);
  /// Puts the taken weights back; nothing to do if none were taken.
  void put_back(Executor& executor) const;

 private:
  struct Copy {
    Tensor values;
    std::vector<Tensor> state;
    std::int64_t steps = 0;
  };
  std::map<std::string, std::vector<Copy>> segments_;
};

}  // namespace sutura
