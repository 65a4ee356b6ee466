#include "runtime/data/party_data.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "core/error.h"
#include "runtime/data/csv.h"
#include "runtime/data/load.h"
#include "runtime/data/partition.h"
#include "runtime/data/site_data.h"
#include "runtime/data/table.h"

namespace sutura {
namespace {

/// The position of each record, -1 for one that is not aligned.
std::vector<std::int64_t> positions_of(const Records& records, std::span<const std::int64_t> records_by_position) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(records.size()), -1);
  for (std::size_t p = 0; p < records_by_position.size(); ++p) {
    const std::int64_t r = records_by_position[p];
    require(r >= 0 && r < records.size(), Errc::kInvalidArgument, "an aligned record is not in the party's file");
    std::int64_t& position = positions[static_cast<std::size_t>(r)];
    require(position < 0, Errc::kInvalidArgument, "a record is aligned to two positions");
    position = static_cast<std::int64_t>(p);
  }
  return positions;
}

}  // namespace

PartyRecords load_party(const DataConfig& config, const std::string& party) {
  const auto found = config.party_tables.find(party);
  require(found != config.party_tables.end(), Errc::kConfig, "data.party_tables names no table for party '" + party + "'");
  const TableConfig& table = found->second;
  const std::string where = "data.party_tables." + party;
  require(!table.id.empty(), Errc::kConfig, where + ".id: name the column that tells which record is whose");
  require(!may_miss(table) || config.standardize != Standardize::kNone, Errc::kConfig,
          where + ": missing values need data.standardize: a missing value takes the centre of its column");
  const CsvTable file = read_csv(table.path, table.columns);
  return {encode_table(file, table), file.digest(), row_numbering(table)};
}

std::vector<std::uint8_t> assign_splits(const DataConfig& config, const PartyRecords& at,
                                        std::span<const std::int64_t> records_by_position, std::uint64_t seed) {
  check_splits(config);
  const std::vector<std::int64_t> positions = positions_of(at.records, records_by_position);
  // In the order of the file: positions change from run to run, and a fold must not.
  std::vector<std::int64_t> aligned(records_by_position.begin(), records_by_position.end());
  std::sort(aligned.begin(), aligned.end());
  const Split split = split_of_study(config, make_units(aligned, strata_of(at.records), at.records.groups), seed, "aligned");
  require(!split.train.empty(), Errc::kData, at.records.source + ": no aligned record is left to train on");
  std::vector<std::uint8_t> out(records_by_position.size(), kTrainSplit);
  for (const std::int64_t r : split.validation)
    out[static_cast<std::size_t>(positions[static_cast<std::size_t>(r)])] = kValidationSplit;
  for (const std::int64_t r : split.test) out[static_cast<std::size_t>(positions[static_cast<std::size_t>(r)])] = kTestSplit;
  return out;
}

SiteData arrange(const DataConfig& config, const std::string& party, PartyRecords&& from,
                 std::span<const std::int64_t> records_by_position, std::span<const std::uint8_t> split_by_position) {
  require(records_by_position.size() == split_by_position.size(), Errc::kInvalidArgument,
          "as many splits as aligned records are needed");
  const PartyRecords own = std::move(from);
  positions_of(own.records, records_by_position);
  std::vector<std::int64_t> chosen[3];
  for (std::size_t p = 0; p < records_by_position.size(); ++p) {
    require(split_by_position[p] <= kTestSplit, Errc::kInvalidArgument, "a position is in a split that does not exist");
    chosen[split_by_position[p]].push_back(records_by_position[p]);
  }
  require(!chosen[kTrainSplit].empty(), Errc::kData, own.records.source + ": no aligned record is left to train on");
  SiteData site = describe(own.records, own.digest, own.numbering);
  site.name = party;
  site.train = take(own.records, chosen[kTrainSplit]);
  site.validation = take(own.records, chosen[kValidationSplit]);
  site.test = take(own.records, chosen[kTestSplit]);
  if (site.classes > 0) {
    const auto labels = site.train.labels.as<std::int32_t>();
    require(std::adjacent_find(labels.begin(), labels.end(), std::not_equal_to<>()) != labels.end(), Errc::kData,
            own.records.source + ": all aligned training records are of one class");
  }
  standardise(config, own.records, site);
  return site;
}

}  // namespace sutura
