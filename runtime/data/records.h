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
  Tensor labels;                                            // [N], int32 or float32; undefined: the file has none
  std::int64_t classes = 0;                                 ///< 0: regression, or no labels
  std::vector<FeatureKind> kinds;                           ///< one per column of rows, one per channel of images
  std::vector<std::string> feature_names, feature_columns;  ///< tables only
  /// Of every kNumber among `kinds`, its position among the numeric features of the whole source, of which there are
  /// `source_numbers`: constants of the study are listed by it.
  std::vector<std::size_t> number_positions;
  std::size_t source_numbers = 0;
  std::vector<std::int64_t> groups;       ///< per record, equal for records that stay together; empty: each stands alone
  std::vector<std::int64_t> source_rows;  ///< per record, as Dataset::source_rows
  std::vector<std::string> ids;           ///< per record, of tables with an id; in this process's memory only
  std::int64_t size() const { return features.defined() ? features.shape()[0] : 0; }
};

/// The class of every record, for stratifying; all zero without classes.
std::vector<std::int32_t> strata_of(const Records& records);

}  // namespace sutura
