// Each site's own test figures: at the party that holds the loss, at the site itself and in the pooled summary, against
// figures counted from the scores.
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/data/metrics.h"
#include "tests/engine/fit_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using nlohmann::json;

struct Counted {
  double records = 0, loss = 0, accuracy = 0, auc = 0, balanced = 0;
};

/// By pairs and by hand; `threshold` of the balanced accuracy.
Counted count(const Scores& s, double threshold) {
  Counted c;
  double pairs = 0, won = 0, right[2] = {0, 0}, of[2] = {0, 0};
  for (std::size_t i = 0; i < s.labels.size(); ++i) {
    const double p = static_cast<double>(s.values[i]);
    const int y = s.labels[i] > 0.5f ? 1 : 0;
    c.records += 1;
    c.loss -= std::log(y == 1 ? p : 1.0 - p);
    c.accuracy += (p >= 0.5) == (y == 1) ? 1 : 0;
    of[y] += 1;
    right[y] += (p >= threshold) == (y == 1) ? 1 : 0;
    for (std::size_t k = 0; k < s.labels.size(); ++k)
      if (y == 1 && s.labels[k] < 0.5f) {
        pairs += 1;
        won += s.values[i] > s.values[k] ? 1.0 : s.values[i] == s.values[k] ? 0.5 : 0.0;
      }
  }
  c.loss /= c.records;
  c.accuracy /= c.records;
  c.auc = won / pairs;
  c.balanced = 0.5 * (right[0] / of[0] + right[1] / of[1]);
  return c;
}

Scores scores_of(const Trained& t, Split split, std::optional<std::uint32_t> lane = {}) {
  Scores all;
  for (const auto& [key, s] : t.result.scores) {
    if (key.second != split || (lane && key.first != *lane)) continue;
    all.values.insert(all.values.end(), s.values.begin(), s.values.end());
    all.labels.insert(all.labels.end(), s.labels.begin(), s.labels.end());
  }
  return all;
}

double threshold_of(const Scores& s) {
  return best_balanced_threshold(s.values, std::vector<std::int32_t>(s.labels.begin(), s.labels.end())).value();
}

void expect_figures(const json& j, const Counted& c, const std::string& where) {
  EXPECT_EQ(j.at("records").get<double>(), c.records) << where;
  EXPECT_NEAR(j.at("loss").get<double>(), c.loss, 1e-6) << where;
  EXPECT_NEAR(j.at("accuracy").get<double>(), c.accuracy, 1e-12) << where;
  EXPECT_NEAR(j.at("auc").get<double>(), c.auc, 1e-12) << where;
  EXPECT_NEAR(j.at("balanced_accuracy").get<double>(), c.balanced, 1e-12) << where;
}

json summary(const Trained& t, const std::string& process) {
  std::ifstream file(process.empty() ? t.output / "summary.json" : t.output / process / "summary.json");
  return json::parse(file);
}

class SiteFigures : public SplitRun {
 protected:
  static std::vector<SiteData> sites(const FitCase& c) {
    static constexpr RecordCounts kCounts[] = {{33, 21, 19}, {17, 15, 16}, {24, 25, 33}};
    std::vector<SiteData> all;
    for (std::size_t i = 0; i < c.text.sites.size(); ++i) all.push_back(make_site(c.text.sites[i], c.text.record, kCounts[i]));
    return all;
  }
  Trained train(const FitCase& c) {
    StudyText text = c.text;
    text.epochs = 3;
    return run(text, sites(c));
  }
  /// The pooled summary holds every site's figures and they make up the pooled ones.
  static void expect_they_add_up(const Trained& t, const FitCase& c) {
    const json pooled = summary(t, "");
    double records = 0, loss = 0, accuracy = 0;
    for (const std::string& site : c.text.sites) {
      const json& j = pooled.at("sites").at(site);
      const auto n = j.at("records").get<double>();
      records += n;
      loss += n * j.at("loss").get<double>();
      accuracy += n * j.at("accuracy").get<double>();
    }
    EXPECT_EQ(pooled.at("sites").size(), c.text.sites.size());
    EXPECT_EQ(pooled.at("records_tested").get<double>(), records);
    EXPECT_NEAR(pooled.at("loss").get<double>(), loss / records, 1e-9);
    EXPECT_NEAR(pooled.at("accuracy").get<double>(), accuracy / records, 1e-12);
    EXPECT_NEAR(pooled.at("auc").get<double>(), count(scores_of(t, Split::kTest), 0.5).auc, 1e-12);
    const double threshold = threshold_of(scores_of(t, Split::kValidation));
    EXPECT_NEAR(pooled.at("balanced_accuracy").get<double>(), count(scores_of(t, Split::kTest), threshold).balanced, 1e-12);
  }
};

TEST_F(SiteFigures, OfAServerThatHoldsTheLoss) {
  for (const std::string name : {"loss_at_server", "own_fronts", "handed_on"}) {
    const FitCase c = fit_case(name);
    const Trained t = train(c);
    expect_they_add_up(t, c);
    const double threshold = threshold_of(scores_of(t, Split::kValidation));
    const json server = summary(t, "server");
    EXPECT_EQ(server.at("sites").size(), c.text.sites.size());
    for (std::uint32_t l = 0; l < c.text.sites.size(); ++l) {
      const std::string& site = c.text.sites[l];
      const Counted counted = count(scores_of(t, Split::kTest, l), threshold);
      expect_figures(server.at("sites").at(site), counted, name + ", at the server, " + site);
      const json own = summary(t, site);
      EXPECT_EQ(own.at("sites").size(), 1u) << "a site learns the pooled figures and its own";
      expect_figures(own.at("sites").at(site), counted, name + ", at " + site);
      EXPECT_EQ(own.at("auc"), server.at("auc"));
    }
  }
}

TEST_F(SiteFigures, OfSitesThatHoldTheLossThemselves) {
  for (const std::string name : {"loss_at_each_site", "server_only_averages"}) {
    const FitCase c = fit_case(name);
    const Trained t = train(c);
    expect_they_add_up(t, c);
    EXPECT_TRUE(summary(t, "server").at("sites").empty()) << "the server sees no label and no figure";
    EXPECT_EQ(summary(t, "server").at("auc"), nullptr);
    for (std::uint32_t l = 0; l < c.text.sites.size(); ++l) {
      const std::string& site = c.text.sites[l];
      const Counted counted = count(scores_of(t, Split::kTest, l), threshold_of(scores_of(t, Split::kValidation, l)));
      const json own = summary(t, site);
      EXPECT_EQ(own.at("sites").size(), 1u);
      expect_figures(own.at("sites").at(site), counted, name + ", at " + site);
      EXPECT_EQ(summary(t, "").at("sites").at(site), own.at("sites").at(site)) << "pooled: what the site itself says";
    }
  }
}

TEST_F(SiteFigures, OfSitesThatTestOnTheirOwn) {
  // Release-once: the trained tail comes to the sites, and no test record leaves.
  FitCase c = fit_case("own_fronts");
  std::ifstream file(std::filesystem::path(SUTURA_SOURCE_DIR) / "configs/topologies/vanilla.yaml");
  c.text.topology = std::string(std::istreambuf_iterator<char>(file), {}) + "  deliver: [{segment: tail, to: hospital}]\n";
  c.text.topology.erase(0, c.text.topology.find("\ntopology:") + 1);
  c.text.network += ", frozen: [front]";
  c.text.schedule = "{visit: together}";
  c.text.privacy =
      "{mechanism: rows, regime: release-once, relation: replace-one, epsilon: 20, delta: 1e-5, clip_norm: 1, wire: int16, labels: public}\n"
      "control_permutations: 2";
  const Trained t = train(c);
  expect_they_add_up(t, c);
  for (std::uint32_t l = 0; l < c.text.sites.size(); ++l) {
    const std::string& site = c.text.sites[l];
    const Counted counted = count(scores_of(t, Split::kTest, l), threshold_of(scores_of(t, Split::kValidation, l)));
    expect_figures(summary(t, site).at("sites").at(site), counted, site);
  }
  EXPECT_TRUE(summary(t, "server").at("sites").empty());
}

TEST_F(SiteFigures, ThePooledHistoryCountsTheRecordsOfAllSites) {
  const FitCase c = fit_case("loss_at_each_site");
  const Trained t = train(c);
  const auto figures = validation_figures(t, c);
  std::ifstream file(t.output / "metrics.jsonl");
  std::string line;
  for (const auto& expected : figures) {
    ASSERT_TRUE(std::getline(file, line));
    const json j = json::parse(line);
    EXPECT_EQ(j.at("validation").at("records"), 21 + 15 + 25);
    EXPECT_NEAR(j.at("validation").at("loss").get<double>(), *expected, 1e-12);
    EXPECT_EQ(j.at("validation").at("auc"), nullptr) << "no mean of the sites' own";
    EXPECT_EQ(j.at("records"), 33 + 17 + 24);
  }
  EXPECT_FALSE(std::getline(file, line));
}

}  // namespace
}  // namespace sutura
