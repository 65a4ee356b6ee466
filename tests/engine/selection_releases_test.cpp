// Validation passes are releases: each is charged, one that early stopping saves is not, and nothing leaves after the stop.
#include "runtime/privacy/accountant.h"
#include "tests/engine/fit_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;

class SelectionReleases : public SplitRun {
 protected:
  /// Every validation record is the person of a training record too, so that the most-released person shows both charges;
  /// test records are people of their own. Returns that person's number of releases, found from what the ledger adds up to.
  std::int64_t most_releases(const std::string& name, const std::string& more, std::int64_t epochs) {
    FitCase c = fit_case(name);
    c.text.epochs = epochs;
    c.text.training_more = more;
    c.text.privacy =
        "{mechanism: rows, regime: message-noise, relation: replace-one, epsilon: 500, delta: 1e-5, noise_multiplier: 2, clip_norm: 1, "
        "wire: int16, labels: public}";
    std::vector<SiteData> sites = records_of(c);
    for (SiteData& s : sites) {
      const auto number = [](Dataset& d, std::int64_t from) {
        for (std::int64_t i = 0; i < d.size(); ++i) d.source_rows.push_back(from + i);
      };
      number(s.train, 0);
      number(s.validation, 0);
      number(s.test, 1000);
    }
    const Trained t = run(c.text, sites);
    epochs_ = static_cast<std::int64_t>(t.result.epochs.size());
    for (std::int64_t n = 1; n < 200; ++n)
      if (std::abs(t.result.epsilon_spent - gaussian_epsilon(t.prepared->guard->noise_multiplier, static_cast<double>(n), 1e-5)) < 1e-6) return n;
    ADD_FAILURE() << "epsilon " << t.result.epsilon_spent << " is that of no number of releases";
    return 0;
  }
  std::int64_t epochs_ = 0;  ///< of the last run
};

TEST_F(SelectionReleases, EachValidationPassIsCharged) {
  EXPECT_EQ(most_releases("loss_at_server", ", evaluate_every: 0", 6), 6 + 1) << "one at the end";
  EXPECT_EQ(most_releases("loss_at_server", ", evaluate_every: 3", 6), 6 + 2);
  EXPECT_EQ(most_releases("loss_at_server", ", evaluate_every: 1", 6), 6 + 6);
  EXPECT_EQ(most_releases("loss_at_server", ", keep: best", 6), 6 + 6) << "keeping the best costs no pass of its own";
  EXPECT_EQ(most_releases("loss_at_each_site", ", evaluate_every: 1", 6), 2 * 6 + 6) << "no gradient in a validation pass";
}

TEST_F(SelectionReleases, ARunThatStopsEarlySpendsLess) {
  // Nothing is better by 100, so the first pass stays the best and training ends three passes later, whatever the noise.
  const std::string stops = early_stopping({3, 100.0, Figure::kLoss});
  for (const std::string keep : {"", ", keep: best"}) {
    EXPECT_EQ(most_releases("loss_at_server", keep + stops, 9), 4 + 4);
    EXPECT_EQ(epochs_, 4);
    EXPECT_EQ(most_releases("loss_at_each_site", keep + stops, 9), 2 * 4 + 4);
    EXPECT_EQ(epochs_, 4);
    EXPECT_EQ(most_releases("loss_at_one_client", keep + stops, 9), 2 * 4 + 4);
    EXPECT_EQ(epochs_, 4);
  }
  EXPECT_EQ(most_releases("loss_at_server", early_stopping({2, 100.0, Figure::kLoss}) + ", evaluate_every: 2", 9), 6 + 3);
  EXPECT_EQ(epochs_, 6);
}

}  // namespace
}  // namespace sutura
