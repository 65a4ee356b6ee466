#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "runtime/config/study.h"
#include "runtime/data/records.h"

namespace sutura {

/// The splits that an array file brings along; those it lacks are cut from the training records.
struct ArrayRecords {
  Records train;
  std::optional<Records> validation, test;
  Digest digest{};                      ///< of the source, as SiteData::source_digest
  std::string numbering;                ///< what source rows are counted over, as SiteData::source_numbering
  std::vector<std::string> site_texts;  ///< of each training record, where the partition is by an array
};

/// Reads features and labels from `path` (a .npz or a folder of .npy) under the names in `config`.
/// Shapes: rows [N, D]; images [N, H, W] become [N, H, W, 1]; signals [N, L] become [N, 1, L, 1], [N, L, C] [N, 1, L,
/// C]. Labels [N] or [N, 1]: whole numbers in 0..classes-1, or targets when `classes` is 0. With class_values a label's
/// class is its position among them, and what has another value is no record; the others keep their row numbers.
/// `partition_array`, with one whole number per training record: its value in decimal is the name of the record's site.
/// Errors: kConfig for settings that contradict each other, one array in two splits among them; kData with file and
/// member, and the record where one is at fault.
ArrayRecords read_arrays(const std::filesystem::path& path, const ArraysConfig& config, const std::string& partition_array = {});

}  // namespace sutura
