#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/tensor.h"

namespace sutura {

/// Records of one split at one site. Row i of every member is the same record.
struct Dataset {
  Tensor features;  // [N, D] or [N, H, W, C], float32
  Tensor labels;    // [N]: int32 class index, or float32 target
  std::int64_t size() const { return features.defined() ? features.shape()[0] : 0; }
};

/// What was subtracted from and divided out of each feature: one pair per column of rows, one per channel of images.
/// Whoever applies the network to new records needs it; whoever hands it on hands on statistics of the records it came
/// from.
struct Scaling {
  std::vector<double> centre, scale;  ///< empty: the numbers are as they were read
  std::int64_t from_records = 0;      ///< training records they were computed from; 0: constants of the study, or none
};

/// What one site holds, split for training, model selection and the final test. Splits without records have size 0.
struct SiteData {
  std::string name;
  Dataset train, validation, test;
  std::int64_t classes = 0;                  ///< 0: regression
  std::vector<std::string> feature_names;    ///< tables: one per column of `features`
  std::vector<std::string> feature_columns;  ///< tables: the file's column behind each of them
  Scaling scaling;
};

}  // namespace sutura
