#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/tensor.h"

namespace sutura {

enum class FeatureKind : std::uint8_t {
  kNumber,     ///< a measurement: standardised, NaN marks a missing value
  kIndicator,  ///< 0 or 1, never standardised
};

/// Records as read, before they are split and standardised.
struct Records {
  std::string source;
  Tensor features;                                          // [N, D] or [N, H, W, C], float32
  Tensor labels;                                            // [N], int32 or float32
  std::int64_t classes = 0;                                 ///< 0: regression
  std::vector<FeatureKind> kinds;                           ///< one per column of rows, one per channel of images
  std::vector<std::string> feature_names, feature_columns;  ///< tables only
  std::vector<std::int64_t> groups;  ///< per record, equal for records that stay together; empty: each stands alone
  std::int64_t first_row = 0;  ///< source row number of record 0; the others follow
  std::int64_t size() const { return features.defined() ? features.shape()[0] : 0; }
};

/// The class of every record, for stratifying; all zero for regression.
std::vector<std::int32_t> strata_of(const Records& records);

}  // namespace sutura
