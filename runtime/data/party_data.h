#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "runtime/config/study.h"
#include "runtime/data/dataset.h"
#include "runtime/data/records.h"

namespace sutura {

// A vertical study whose parties have files of their own, in the order of its calls: load_party at each party; record
// linkage over PartyRecords::records.ids, which gives every common record a position and each party the record of its
// own at each position; assign_splits at the split party, which tells the others; arrange at each party. Position by
// position all parties then hold the same persons in the same order.

/// What one party read from its own file.
struct PartyRecords {
  Records records;  ///< encoded, not standardised; `ids` to link by; labels undefined where the file has none
  Digest digest{};
  std::string numbering;
};

/// Reads the table of `party` in data.party_tables, and no other file.
/// Errors: kConfig when the party has no table, the table no id, or settings contradict each other; else as
/// encode_table.
PartyRecords load_party(const DataConfig& config, const std::string& party);

/// Split of a position, as it is told to the other parties.
enum SplitCode : std::uint8_t { kTrainSplit = 0, kValidationSplit = 1, kTestSplit = 2 };

/// The split (a SplitCode) of every position, by the fractions or folds of the study: stratified where the split party's
/// file has classes, its groups kept together. `records_by_position` are indices into `at.records`.
/// Numbers: a pure function of the file, the set of aligned records, configuration and seed. Which position a record has
/// does not matter, so that the folds of runs with other positions still are disjoint.
/// Errors: kConfig for fractions or folds that contradict each other; kInvalidArgument for a record that does not exist
/// or comes twice; kData when no training record is left.
std::vector<std::uint8_t> assign_splits(const DataConfig& config, const PartyRecords& at,
                                        std::span<const std::int64_t> records_by_position, std::uint64_t seed);

/// A party's aligned records by split, in the order of positions, standardised over its own training records or by
/// constants. Source rows are those of the party's own file. The identifiers are gone afterwards.
/// Errors: kInvalidArgument for lists of unequal length, a record that does not exist or comes twice, or a split that is
/// none; kData for no training records, or training labels all of one class; kConfig as constant_scaling.
SiteData arrange(const DataConfig& config, const std::string& party, PartyRecords&& from,
                 std::span<const std::int64_t> records_by_position, std::span<const std::uint8_t> split_by_position);

}  // namespace sutura
