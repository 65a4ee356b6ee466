#include "runtime/privacy/audit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "core/error.h"
#include "runtime/privacy/binomial_bounds.h"

namespace sutura {
namespace {

constexpr std::int64_t kRowsAtOnce = 8192;
constexpr std::int64_t kCandidates = 4000;

struct Pair {
  std::vector<float> row, neighbour;
};

Pair make_pair(const RowPlan& plan, const AuditSettings& s) {
  const auto d = static_cast<std::size_t>(s.row_elements);
  const auto norm = static_cast<float>(plan.settings.clip_norm);
  Pair p{std::vector<float>(d), std::vector<float>(d)};
  const bool nonnegative = plan.relation == Relation::kReplaceOneNonnegative;
  require(!nonnegative || d >= 2, Errc::kInvalidArgument, "non-negative rows need two elements to differ in direction");
  switch (s.pair) {
    case AuditPair::kOneHot: p.row[0] = norm; break;
    case AuditPair::kAllEqual:
    case AuditPair::kAlternatingSigns: {
      const std::size_t used = nonnegative ? d / 2 : d;
      for (std::size_t j = 0; j < used; ++j) {
        const bool minus = s.pair == AuditPair::kAlternatingSigns && !nonnegative && j % 2 == 1;
        p.row[j] = (minus ? -norm : norm) / std::sqrt(static_cast<float>(used));
      }
    }
  }
  if (plan.relation == Relation::kReplaceOne)
    for (std::size_t j = 0; j < d; ++j) p.neighbour[j] = -p.row[j];
  if (nonnegative) std::reverse_copy(p.row.begin(), p.row.end(), p.neighbour.begin());
  return p;
}

std::vector<float> scores(Context& ctx, Guard& guard, const std::vector<float>& row, const std::vector<double>& direction,
                          std::int64_t count, std::uint32_t side) {
  const auto d = static_cast<std::int64_t>(row.size());
  Tensor rows({kRowsAtOnce, d});  // [R, D]
  for (std::int64_t i = 0; i < kRowsAtOnce; ++i) std::copy(row.begin(), row.end(), rows.f32().begin() + i * d);
  std::vector<std::int64_t> records(kRowsAtOnce);
  std::iota(records.begin(), records.end(), 0);
  std::vector<float> all;
  all.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t step = 0; static_cast<std::int64_t>(all.size()) < count; ++step) {
    const std::int64_t n = std::min(kRowsAtOnce, count - static_cast<std::int64_t>(all.size()));
    const Tensor released = guard.release(ctx, rows.rows(0, n), std::span(records).first(static_cast<std::size_t>(n)),
                                          {.edge = 0, .step = step, .micro_batch = 0, .purpose = side});
    const Tensor decoded = guard.decode(ctx, released);  // [n, D]
    const std::span<const float> values = decoded.f32();
    for (std::int64_t i = 0; i < n; ++i) {
      double projection = 0;
      for (std::int64_t j = 0; j < d; ++j)
        projection += values[static_cast<std::size_t>(i * d + j)] * direction[static_cast<std::size_t>(j)];
      all.push_back(static_cast<float>(projection));
    }
  }
  return all;
}

std::int64_t above(const std::vector<float>& sorted, float threshold) {
  return sorted.end() - std::upper_bound(sorted.begin(), sorted.end(), threshold);
}

struct Bound {
  double epsilon = 0.0, true_positive = 0.0, false_positive = 1.0;
};

/// Attack "score above t means `positive`".
Bound attack(std::vector<float> positive, std::vector<float> negative, double delta, double alpha) {
  const auto split = [](std::vector<float>& all) {
    std::vector<float> second(all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
    all.resize(all.size() / 2);
    std::sort(all.begin(), all.end());
    std::sort(second.begin(), second.end());
    return second;
  };
  const std::vector<float> positive_held = split(positive), negative_held = split(negative);

  // Chosen on the first half with a rough margin for chance, so that thresholds with three hits do not win.
  const auto n = static_cast<double>(negative.size());
  double best = -std::numeric_limits<double>::infinity();
  float threshold = negative.back();
  for (std::int64_t c = 0; c < kCandidates; ++c) {
    const float t = negative[negative.size() * static_cast<std::size_t>(c) / kCandidates];
    const double tp = static_cast<double>(above(positive, t)) / n, fp = static_cast<double>(above(negative, t)) / n;
    const double tp_low = tp - 2.5 * std::sqrt(tp * (1 - tp) / n), fp_high = fp + 2.5 * std::sqrt(fp * (1 - fp) / n) + 4 / n;
    if (tp_low > delta && std::log((tp_low - delta) / fp_high) > best) {
      best = std::log((tp_low - delta) / fp_high);
      threshold = t;
    }
  }
  Bound b;
  b.true_positive =
      clopper_pearson_lower(above(positive_held, threshold), static_cast<std::int64_t>(positive_held.size()), alpha);
  b.false_positive =
      clopper_pearson_upper(above(negative_held, threshold), static_cast<std::int64_t>(negative_held.size()), alpha);
  if (b.true_positive > delta) b.epsilon = std::max(0.0, std::log((b.true_positive - delta) / b.false_positive));
  return b;
}

}  // namespace

AuditResult audit_guard(Context& ctx, Guard& guard, const RowPlan& claim, const AuditSettings& settings) {
  require(settings.releases >= 1000 && settings.row_elements >= 1, Errc::kInvalidArgument,
          "an audit needs at least 1000 releases of rows with at least one element");
  require(settings.confidence > 0 && settings.confidence < 1, Errc::kInvalidArgument, "confidence must lie between 0 and 1");
  const Pair pair = make_pair(claim, settings);
  std::vector<double> direction(pair.row.size());
  for (std::size_t j = 0; j < direction.size(); ++j) direction[j] = static_cast<double>(pair.row[j]) - pair.neighbour[j];

  std::vector<float> first = scores(ctx, guard, pair.row, direction, settings.releases, 0);
  std::vector<float> second = scores(ctx, guard, pair.neighbour, direction, settings.releases, 1);
  const double alpha = (1 - settings.confidence) / 4;  // two rates, two directions
  Bound best = attack(first, second, settings.delta, alpha);
  for (float& v : first) v = -v;
  for (float& v : second) v = -v;
  const Bound reverse = attack(std::move(second), std::move(first), settings.delta, alpha);
  if (reverse.epsilon > best.epsilon) best = reverse;

  AuditResult r;
  r.epsilon_lower_bound = best.epsilon;
  r.epsilon_claim = gaussian_epsilon(claim.noise_multiplier, 1.0, settings.delta);
  r.ratio = r.epsilon_claim > 0 ? r.epsilon_lower_bound / r.epsilon_claim : 0.0;
  r.true_positive_lower = best.true_positive;
  r.false_positive_upper = best.false_positive;
  r.releases = settings.releases;
  r.verdict = r.epsilon_lower_bound <= r.epsilon_claim ? AuditVerdict::kConsistent : AuditVerdict::kViolation;
  return r;
}

AuditResult audit_rows(Context& ctx, const RowPlan& plan, const AuditSettings& settings) {
  Ledger ledger(memory_store(), "audit", {std::numeric_limits<double>::infinity(), plan.delta});
  Journal journal(memory_store(), "audit");
  RowGuard guard(plan, "audit", ledger, journal);
  return audit_guard(ctx, guard, plan, settings);
}

}  // namespace sutura
