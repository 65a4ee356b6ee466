#pragma once
#include <gtest/gtest.h>

#include <vector>

#include "runtime/data/dataset.h"

namespace sutura::testing {

inline std::vector<float> values(const Tensor& t) { return {t.f32().begin(), t.f32().end()}; }
inline std::vector<std::int32_t> classes(const Tensor& t) { return {t.as<std::int32_t>().begin(), t.as<std::int32_t>().end()}; }

/// All that a run takes from a site, value by value.
inline void expect_same(const SiteData& a, const SiteData& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.classes, b.classes);
  EXPECT_EQ(a.feature_names, b.feature_names);
  EXPECT_EQ(a.scaling.centre, b.scaling.centre);
  EXPECT_EQ(a.scaling.scale, b.scaling.scale);
  EXPECT_EQ(a.scaling.from_records, b.scaling.from_records);
  for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test}) {
    EXPECT_EQ((a.*split).features.shape(), (b.*split).features.shape());
    EXPECT_EQ(values((a.*split).features), values((b.*split).features));
    EXPECT_EQ(classes((a.*split).labels), classes((b.*split).labels));
  }
}

}  // namespace sutura::testing
