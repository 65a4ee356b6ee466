#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "kernels/tensor.h"

namespace sutura {

/// Records of one split at one site. Row i of every member is the same record.
struct Dataset {
  Tensor features;  // [N, D] or [N, H, W, C], float32
  Tensor labels;    // [N]: int32 class index, or float32 target
  /// Row number of each record in the site's source, unique over all splits and sites of one file and the same whatever
  /// the seed, partition and fractions: what privacy charges are booked on. Tables: data rows from 0; arrays: training
  /// rows from 0, then those of the validation array, then those of the test array. Empty: made up, not from a file.
  std::vector<std::int64_t> source_rows = {};
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
  /// BLAKE2b-256 of the source file as it lies on disk; of a folder of .npy as source_digest() says. All zero: no file.
  Digest source_digest{};
  /// What the rows are counted over ("rows below a header line", "arrays train_images/val_images/test_images"): one file
  /// read in another way numbers other records.
  std::string source_numbering;
};

}  // namespace sutura
