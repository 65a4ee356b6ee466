#include "runtime/data/load.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>
#include <utility>

#include "core/error.h"
#include "runtime/data/arrays.h"
#include "runtime/data/partition.h"
#include "runtime/data/site_data.h"
#include "runtime/data/table.h"

namespace sutura {
namespace {

constexpr std::string_view kSiteMark = "{site}";

/// One file's records, and where they go.
struct Pool {
  ArrayRecords records;
  Assignment train, validation, test;  ///< by site; the last two only where the file brings these splits
};

const std::filesystem::path& path_of(const DataConfig& config) { return config.table ? config.table->path : config.arrays->path; }
bool one_file_per_site(const DataConfig& config) { return path_of(config).string().find(kSiteMark) != std::string::npos; }
std::filesystem::path path_for(const DataConfig& config, const std::string& site) {
  // The study names the sites, this machine the folder: a name must not lead out of it.
  require(site.find('/') == std::string::npos && site != "..", Errc::kConfig, "data.sites: a site name holds a slash or is ..");
  std::string path = path_of(config).string();
  for (std::size_t at = path.find(kSiteMark); at != std::string::npos; at = path.find(kSiteMark, at + site.size()))
    path.replace(at, kSiteMark.size(), site);
  return path;
}

void check_given_splits(const DataConfig& config) {
  const bool brings_validation = !config.arrays->validation_features.empty();
  const bool brings_test = !config.arrays->test_features.empty();
  require(!brings_validation || config.validation_fraction == 0.0, Errc::kConfig,
          "data: a validation fraction and a validation array exclude each other");
  require(!brings_test || config.test_fraction == 0.0, Errc::kConfig,
          "data: a test fraction and a test array exclude each other");
  require(!brings_test || config.folds == 0, Errc::kConfig, "data: folds and a test array exclude each other");
  require((!brings_validation && !brings_test) || config.partition != PartitionBy::kColumn, Errc::kConfig,
          "data.partition: by column, the validation and test records are cut from the training arrays");
}

void check_partition(const DataConfig& config) {
  const bool by_column = config.partition == PartitionBy::kColumn;
  require(by_column == !config.partition_column.empty(), Errc::kConfig,
          "data.partition: a column is named exactly when the partition is by column");
  require(std::isfinite(config.partition_alpha) && config.partition_alpha > 0.0, Errc::kConfig,
          "data.partition: alpha must be > 0");
  require(!one_file_per_site(config) || config.partition == PartitionBy::kEvenly, Errc::kConfig,
          "data.partition: with {site} in the path each site has a file of its own, and nothing is dealt out");
}

void check(const DataConfig& config) {
  require(config.table.has_value() != config.arrays.has_value(), Errc::kConfig, "data: give either a table or arrays");
  require(!config.sites.empty(), Errc::kConfig, "data.sites: name at least one site");
  std::set<std::string_view> seen;
  for (const std::string& site : config.sites)
    require(!site.empty() && seen.insert(site).second, Errc::kConfig, "data.sites: a name is empty or listed twice");
  require(!config.table || !config.table->label.empty(), Errc::kConfig, "data.table.label: name the column of the labels");
  require(!config.table || !may_miss(*config.table) || config.standardize != Standardize::kNone, Errc::kConfig,
          "data.table.missing_columns needs data.standardize: a missing value takes the centre of its column");
  check_splits(config);
  if (config.arrays) check_given_splits(config);
  check_partition(config);
}

std::vector<std::int64_t> all_of(const Records& records) {
  std::vector<std::int64_t> index(static_cast<std::size_t>(records.size()));
  std::iota(index.begin(), index.end(), 0);
  return index;
}
Units units_of(const Records& records, std::span<const std::int64_t> chosen) {
  return make_units(chosen, strata_of(records), records.groups);
}

void check_classes(const Records& train) {
  if (train.classes == 0) return;
  const std::vector<std::int32_t> labels = strata_of(train);
  require(std::adjacent_find(labels.begin(), labels.end(), std::not_equal_to<>()) != labels.end(), Errc::kData,
          train.source + ": all records are of one class");
}

using Names = std::vector<std::string>;

ArrayRecords from_table(const CsvTable& table, const DataConfig& config, const Names& columns) {
  ArrayRecords out;
  out.train = encode_table(table, *config.table, config.partition_column, columns);
  out.digest = table.digest();
  out.numbering = row_numbering(*config.table);
  return out;
}

/// A site's own file: everything in it belongs to the site.
Pool read_own(const DataConfig& config, const std::string& site, const Names& columns) {
  Pool pool;
  const std::filesystem::path path = path_for(config, site);
  if (config.table)
    pool.records = from_table(read_csv(path, config.table->columns), config, columns);
  else
    pool.records = read_arrays(path, *config.arrays);
  pool.train = {all_of(pool.records.train)};
  if (pool.records.validation) pool.validation = {all_of(*pool.records.validation)};
  if (pool.records.test) pool.test = {all_of(*pool.records.test)};
  return pool;
}

/// A pooled file, dealt out to all sites of the study.
Pool read_pooled(const DataConfig& config, std::uint64_t seed, const Names& columns) {
  Pool pool;
  const std::size_t sites = config.sites.size();
  const auto& train_rows = pool.records.train.source_rows;
  const std::string& name = config.partition_column;
  const bool by_column = config.partition == PartitionBy::kColumn;
  if (config.table) {
    const CsvTable table = read_csv(config.table->path, config.table->columns);
    pool.records = from_table(table, config, columns);
    if (by_column)
      pool.train = partition_by_text(column_texts(table, pool.records.train, name, "data.partition.column"), config.sites,
                                     [&, column = table.column(name, "data.partition.column")](std::int64_t record) {
                                       return table.place(train_rows[static_cast<std::size_t>(record)], column);
                                     });
  } else {
    pool.records = read_arrays(config.arrays->path, *config.arrays, name);
    if (by_column)
      pool.train = partition_by_text(pool.records.site_texts, config.sites, [&](std::int64_t record) {
        return config.arrays->path.string() + ", member " + name + ": record " +
               std::to_string(train_rows[static_cast<std::size_t>(record)]);
      });
  }
  const Records& train = pool.records.train;
  check_classes(train);
  const Units units = units_of(train, all_of(train));
  if (config.partition == PartitionBy::kEvenly) pool.train = partition_evenly(units, sites, seed, "partition");
  if (config.partition == PartitionBy::kLabelSkew)
    pool.train = partition_by_label_skew(units, sites, config.partition_alpha, seed);
  const auto deal = [&](const std::optional<Records>& given, std::string_view stream) {
    return given ? partition_evenly(units_of(*given, all_of(*given)), sites, seed, stream) : Assignment{};
  };
  pool.validation = deal(pool.records.validation, "partition:validation");
  pool.test = deal(pool.records.test, "partition:test");
  return pool;
}

SiteData make_site(const DataConfig& config, std::uint64_t seed, const std::string& name, const Pool& pool,
                   std::size_t position) {
  const Records& own = pool.records.train;
  require(!pool.train[position].empty(), Errc::kData,
          own.source + ": no records for site '" + name + "'" +
              (config.partition == PartitionBy::kLabelSkew ? "; another seed or a larger alpha spreads them wider" : ""));
  const Split split = split_of_study(config, units_of(own, pool.train[position]), seed, name);
  require(!split.train.empty(), Errc::kData, own.source + ": site '" + name + "' is left without training records");
  SiteData site = describe(own, pool.records.digest, pool.records.numbering);
  site.name = name;
  site.train = take(own, split.train);
  site.validation =
      pool.records.validation ? take(*pool.records.validation, pool.validation[position]) : take(own, split.validation);
  site.test = pool.records.test ? take(*pool.records.test, pool.test[position]) : take(own, split.test);
  standardise(config, own, site);
  return site;
}

SiteData load(const DataConfig& config, std::uint64_t seed, const std::string& site, const Names& columns) {
  check(config);
  const auto at = std::find(config.sites.begin(), config.sites.end(), site);
  require(at != config.sites.end(), Errc::kConfig, "data.sites does not name site '" + site + "'");
  if (one_file_per_site(config)) return make_site(config, seed, site, read_own(config, site, columns), 0);
  return make_site(config, seed, site, read_pooled(config, seed, columns), static_cast<std::size_t>(at - config.sites.begin()));
}

}  // namespace

void check_splits(const DataConfig& config) {
  const double v = config.validation_fraction, t = config.test_fraction;
  require(v >= 0.0 && t >= 0.0 && v + t < 1.0, Errc::kConfig,
          "data: the validation and test fractions must be >= 0 with a sum below 1");
  require(config.folds == 0 || (config.folds >= 2 && t == 0.0), Errc::kConfig,
          "data.folds must be 0 or at least 2, and excludes a test fraction");
  require(config.fold >= 0 && config.fold < std::max<std::int64_t>(config.folds, 1), Errc::kConfig,
          "data.fold must be in 0..folds-1");
}

std::vector<SiteData> load_sites(const DataConfig& config, std::uint64_t seed) {
  check(config);
  std::vector<SiteData> sites;
  if (one_file_per_site(config)) {
    for (const std::string& name : config.sites) {
      const Pool own = read_own(config, name, {});
      sites.push_back(make_site(config, seed, name, own, 0));
      const Shape shape = sites.back().train.features.shape();
      require(sites.back().feature_names == sites.front().feature_names &&
                  shape.with_batch(1) == sites.front().train.features.shape().with_batch(1),
              Errc::kData, own.records.train.source + ": its features differ from those of the first site");
    }
    return sites;
  }
  const Pool pool = read_pooled(config, seed, {});
  for (std::size_t i = 0; i < config.sites.size(); ++i) sites.push_back(make_site(config, seed, config.sites[i], pool, i));
  return sites;
}

SiteData load_site(const DataConfig& config, std::uint64_t seed, const std::string& site) { return load(config, seed, site, {}); }

SiteData load_columns(const DataConfig& config, std::uint64_t seed, const std::string& site,
                      const std::vector<std::string>& columns) {
  require(config.table.has_value(), Errc::kConfig, "only the features of a table can be divided by column");
  require(!columns.empty(), Errc::kConfig, "a party of a vertical study needs at least one column");
  return load(config, seed, site, columns);
}

}  // namespace sutura
