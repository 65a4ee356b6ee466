#include <set>
#include <utility>

#include "core/error.h"
#include "runtime/data/load.h"

namespace sutura {
namespace {

/// The features `index` of every record, in that order.
Tensor select(const Tensor& from, const std::vector<std::size_t>& index) {
  const auto n = static_cast<std::size_t>(from.shape()[0]);
  const auto width = static_cast<std::size_t>(from.shape()[1]);
  Tensor out({from.shape()[0], static_cast<std::int64_t>(index.size())});  // [N, D']
  const std::span<const float> source = from.f32();
  const std::span<float> target = out.f32();
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < index.size(); ++k) target[i * index.size() + k] = source[i * width + index[k]];
  return out;
}

}  // namespace

SiteData select_columns(const SiteData& site, const std::vector<std::string>& columns) {
  require(!site.feature_columns.empty(), Errc::kConfig, "only the features of a table can be divided by column");
  require(!columns.empty(), Errc::kConfig, "a party of a vertical study needs at least one column");
  std::vector<std::size_t> index;
  std::set<std::string_view> seen;
  for (const std::string& column : columns) {
    require(seen.insert(column).second, Errc::kConfig, "a party lists column '" + column + "' twice");
    const std::size_t before = index.size();
    for (std::size_t k = 0; k < site.feature_columns.size(); ++k)
      if (site.feature_columns[k] == column) index.push_back(k);
    require(index.size() > before, Errc::kConfig,
            "column '" + column + "' of a party is not a feature column of the table");
  }
  SiteData out;
  out.name = site.name;
  out.classes = site.classes;
  out.source_digest = site.source_digest;
  out.source_numbering = site.source_numbering;
  for (const std::size_t k : index) {
    out.feature_names.push_back(site.feature_names[k]);
    out.feature_columns.push_back(site.feature_columns[k]);
    if (site.scaling.centre.empty()) continue;
    out.scaling.centre.push_back(site.scaling.centre[k]);
    out.scaling.scale.push_back(site.scaling.scale[k]);
  }
  out.scaling.from_records = site.scaling.from_records;
  for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test}) {
    const Dataset& from = site.*split;
    out.*split = {select(from.features, index), from.labels.clone(), from.source_rows};
  }
  return out;
}

}  // namespace sutura
