#include "tests/equivalence/straight_line.h"

#include <numeric>

#include "core/random/philox.h"
#include "runtime/data/batches.h"

namespace sutura::testing {
namespace {

/// Records [begin, end) of a site's order in this epoch: one micro-batch.
struct Slice {
  std::size_t site;
  std::uint32_t micro_batch;
  std::int64_t begin, end;
};
using StepSlices = std::vector<Slice>;

void add_slices(StepSlices& step, std::size_t site, std::int64_t begin, std::int64_t end, std::int64_t pieces) {
  std::uint32_t number = 0;
  for (std::int64_t m = 0; m < pieces; ++m) {
    const std::int64_t a = begin + (end - begin) * m / pieces, b = begin + (end - begin) * (m + 1) / pieces;
    if (b > a) step.push_back({site, number++, a, b});
  }
}

std::int64_t steps_for(std::int64_t records, std::int64_t batch) { return (records + batch - 1) / batch; }

/// Together: the t-th of T steps takes the t-th of T shares of every site. In turn: each site goes through its own batches.
std::vector<StepSlices> slices_of(const std::vector<SiteData>& sites, const OracleSchedule& s, std::int64_t epoch) {
  std::vector<StepSlices> steps;
  std::int64_t all = 0;
  for (const SiteData& site : sites) all += site.train.size();
  if (s.visit == Visit::kTogether) {
    const std::int64_t count = steps_for(all, s.batch_size);
    for (std::int64_t t = 0; t < count; ++t) {
      StepSlices& step = steps.emplace_back();
      for (std::size_t i = 0; i < sites.size(); ++i) {
        const std::int64_t n = sites[i].train.size();
        add_slices(step, i, n * t / count, n * (t + 1) / count, s.micro_batches);
      }
    }
    return steps;
  }
  std::vector<std::int64_t> order(sites.size());
  std::iota(order.begin(), order.end(), 0);
  if (s.visit == Visit::kShuffled)
    order = permutation(static_cast<std::int64_t>(sites.size()), {s.seed, "visit", static_cast<std::uint64_t>(epoch)});
  for (const std::int64_t i : order) {
    const std::int64_t n = sites[static_cast<std::size_t>(i)].train.size(), count = steps_for(n, s.batch_size);
    for (std::int64_t t = 0; t < count; ++t)
      add_slices(steps.emplace_back(), static_cast<std::size_t>(i), n * t / count, n * (t + 1) / count, s.micro_batches);
  }
  return steps;
}

std::int64_t records_in(const StepSlices& step) {
  std::int64_t n = 0;
  for (const Slice& p : step) n += p.end - p.begin;
  return n;
}

struct Batch {
  Tensor features;  // [n, ...]
  Tensor labels;    // [n]
};

Batch batch_of(const SiteData& site, const Slice& p, const OracleSchedule& s, std::int64_t epoch) {
  const auto order = epoch_order(site.train.size(), s.seed, site.name, epoch);
  const std::vector<std::int64_t> index(order.begin() + p.begin, order.begin() + p.end);
  return {gather_rows(site.train.features, index), gather_rows(site.train.labels, index)};
}

/// Weights and optimizer of one copy of a segment.
struct Copy {
  ParamStore params;
  std::unique_ptr<Optimizer> optimizer;
  Copy(const Network& network, const OracleSchedule& s)
      : params(network.make_params(s.seed)), optimizer(make_optimizer(s.optimizer, params.trained())) {}
  void step(Context& ctx, double rate) {
    optimizer->step(ctx, params, rate);
    params.zero_grads(ctx);
  }
  Weights weights() const {
    Weights w;
    for (const ParamEntry& e : params.entries()) {
      Tensor t(e.shape);
      const auto from = params.values().f32().subspan(static_cast<std::size_t>(e.offset), t.f32().size());
      std::copy(from.begin(), from.end(), t.f32().begin());
      w.emplace(e.name, std::move(t));
    }
    return w;
  }
  Weights state() const {
    Weights w;
    for (const auto& [name, tensor] : optimizer->state()) w.emplace(name, tensor->clone());
    w.emplace("steps", Tensor::from({1}, std::vector<float>{static_cast<float>(optimizer->steps())}));
    return w;
  }
};

void average(std::vector<Copy>& copies, const std::vector<SiteData>& sites, RoundEnd how) {
  if (how == RoundEnd::kNothing || copies.size() < 2) return;
  std::vector<float> mean(copies[0].params.values().f32().size());
  for (std::size_t i = 0; i < mean.size(); ++i) {
    double sum = 0.0, total = 0.0;
    for (std::size_t k = 0; k < copies.size(); ++k) {
      const double weight = how == RoundEnd::kPlainMean ? 1.0 : static_cast<double>(sites[k].train.size());
      sum += weight * static_cast<double>(copies[k].params.values().f32()[i]);
      total += weight;
    }
    mean[i] = static_cast<float>(sum / total);
  }
  for (Copy& c : copies) std::copy(mean.begin(), mean.end(), c.params.values().f32().begin());
}

std::vector<Copy> copies_of(const OracleSegment& segment, std::size_t sites, const OracleSchedule& s) {
  std::vector<Copy> copies;
  for (std::size_t k = 0; k < (segment.copies == Copies::kOne ? 1 : sites); ++k) copies.emplace_back(segment.network, s);
  return copies;
}

/// Adds one segment's copies to the result.
void add_copies(OracleResult& result, const std::vector<Copy>& copies) {
  auto& weights = result.copies.emplace_back();
  auto& states = result.optimizers.emplace_back();
  for (const Copy& c : copies) {
    weights.push_back(c.weights());
    states.push_back(c.state());
  }
}

Pass pass_of(const OracleSchedule& s, const Slice& p) {
  return {Mode::kTrain, s.seed, 0, static_cast<std::uint32_t>(p.site), p.micro_batch};
}

}  // namespace

OracleSchedule schedule_of(const StudyText& text, Visit visit) {
  OracleSchedule s;
  s.visit = visit;
  s.seed = text.seed;
  s.batch_size = text.batch_size;
  s.micro_batches = text.micro_batches;
  s.epochs = text.epochs;
  s.optimizer.kind = OptimizerKind::kAdamW;
  s.optimizer.weight_decay = 0.01;
  s.rate = {0.02, RateSchedule::kCosine, 0.2, 10, 0.1};
  return s;
}

OracleResult train_straight(std::vector<OracleSegment> segments, const std::vector<SiteData>& sites, const OracleSchedule& s) {
  Context ctx(Backend::kReference);
  const auto loss = make_loss(LossKind::kBinaryCrossEntropy, s.class_weights);
  std::vector<std::vector<Copy>> all;
  for (const OracleSegment& segment : segments) all.push_back(copies_of(segment, sites.size(), s));
  const auto copy = [&](std::size_t segment, std::size_t site) -> Copy& {
    return all[segment][all[segment].size() == 1 ? 0 : site];
  };

  OracleResult result;
  result.site_losses.resize(sites.size());
  const auto per_epoch = static_cast<std::int64_t>(slices_of(sites, s, 0).size());
  for (std::int64_t epoch = 0; epoch < s.epochs; ++epoch) {
    double sum = 0.0;
    std::vector<double> site_sums(sites.size());
    std::int64_t seen = 0, index = epoch * per_epoch;
    for (const StepSlices& step : slices_of(sites, s, epoch)) {
      const std::int64_t records = records_in(step);
      double mean = 0.0;
      std::vector<double> site_means(sites.size());
      for (const Slice& p : step) {
        const Batch batch = batch_of(sites[p.site], p, s, epoch);
        std::vector<Saved> saved(segments.size());
        Tensor x = batch.features.clone();
        for (std::size_t g = 0; g < segments.size(); ++g)
          x = segments[g].network.forward(ctx, copy(g, p.site).params, std::move(x), saved[g], pass_of(s, p));
        Tensor grad;
        const double part = loss->evaluate(ctx, x, batch.labels, 1.0 / static_cast<double>(records), grad);
        mean += part;
        site_means[p.site] += part;
        for (std::size_t g = segments.size(); g-- > 0;)
          grad = segments[g].network.backward(ctx, copy(g, p.site).params, saved[g], std::move(grad),
                                              g > 0 ? InputGrad::kNeeded : InputGrad::kNotNeeded);
      }
      const double rate = rate_at(s.rate, index++, s.epochs * per_epoch, per_epoch);
      for (std::vector<Copy>& copies : all)
        for (std::size_t k = 0; k < copies.size(); ++k) {
          const bool took_part =
              std::any_of(step.begin(), step.end(), [&](const Slice& p) { return copies.size() == 1 || p.site == k; });
          if (took_part) copies[k].step(ctx, rate);
        }
      ++result.steps;
      sum += mean * static_cast<double>(records);
      for (std::size_t k = 0; k < sites.size(); ++k) site_sums[k] += site_means[k] * static_cast<double>(records);
      seen += records;
    }
    result.losses.push_back(sum / static_cast<double>(seen));
    for (std::size_t k = 0; k < sites.size(); ++k)
      result.site_losses[k].push_back(site_sums[k] / static_cast<double>(sites[k].train.size()));
    for (std::size_t g = 0; g < segments.size(); ++g) average(all[g], sites, segments[g].round_end);
  }
  for (const std::vector<Copy>& copies : all) add_copies(result, copies);
  return result;
}

OracleResult train_merged(OracleSegment front, OracleSegment tail, const std::vector<SiteData>& sites, const OracleSchedule& s) {
  Context ctx(Backend::kReference);
  const auto loss = make_loss(LossKind::kBinaryCrossEntropy, s.class_weights);
  std::vector<Copy> fronts = copies_of(front, sites.size(), s);
  std::vector<Copy> tails;
  tails.emplace_back(tail.network, s);
  Copy& server = tails[0];
  OracleResult result;
  const auto per_epoch = static_cast<std::int64_t>(slices_of(sites, s, 0).size());
  for (std::int64_t epoch = 0; epoch < s.epochs; ++epoch) {
    double sum = 0.0;
    std::int64_t seen = 0, index = epoch * per_epoch;
    for (const StepSlices& step : slices_of(sites, s, epoch)) {
      const std::int64_t records = records_in(step);
      std::vector<Saved> saved(step.size());
      std::vector<float> rows;
      std::vector<std::int32_t> labels;
      Shape row;
      for (std::size_t p = 0; p < step.size(); ++p) {
        const Batch batch = batch_of(sites[step[p].site], step[p], s, epoch);
        const Tensor y =
            front.network.forward(ctx, fronts[step[p].site].params, batch.features.clone(), saved[p], pass_of(s, step[p]));
        row = y.shape();
        rows.insert(rows.end(), y.f32().begin(), y.f32().end());
        const auto l = batch.labels.as<std::int32_t>();
        labels.insert(labels.end(), l.begin(), l.end());
      }
      Saved tail_saved;
      const Tensor out =
          tail.network.forward(ctx, server.params, Tensor::from(row.with_batch(records), std::span<const float>(rows)),
                               tail_saved, pass_of(s, step[0]));
      Tensor grad;
      sum += loss->evaluate(ctx, out, Tensor::from({records}, std::span<const std::int32_t>(labels)), 1.0, grad);
      for (float& g : grad.f32()) g /= static_cast<float>(records);
      grad = tail.network.backward(ctx, server.params, tail_saved, std::move(grad), InputGrad::kNeeded);
      std::int64_t begin = 0;
      for (std::size_t p = 0; p < step.size(); ++p) {
        const std::int64_t n = step[p].end - step[p].begin;
        front.network.backward(ctx, fronts[step[p].site].params, saved[p], grad.rows(begin, n).clone(), InputGrad::kNotNeeded);
        begin += n;
      }
      const double rate = rate_at(s.rate, index++, s.epochs * per_epoch, per_epoch);
      server.step(ctx, rate);
      for (std::size_t k = 0; k < fronts.size(); ++k)
        if (std::any_of(step.begin(), step.end(), [&](const Slice& p) { return p.site == k; })) fronts[k].step(ctx, rate);
      seen += records;
    }
    result.losses.push_back(sum / static_cast<double>(seen));
    average(fronts, sites, front.round_end);
  }
  add_copies(result, fronts);
  add_copies(result, tails);
  return result;
}

namespace {

/// Columns [from, to) of rows.
Tensor columns_of(const Tensor& x, std::int64_t from, std::int64_t to) {
  Tensor y({x.shape()[0], to - from});  // [n, to - from]
  for (std::int64_t i = 0; i < x.shape()[0]; ++i)
    for (std::int64_t j = from; j < to; ++j)
      y.f32()[static_cast<std::size_t>(i * (to - from) + j - from)] = x.f32()[static_cast<std::size_t>(i * x.shape()[1] + j)];
  return y;
}

/// z = [e_1 .. e_K], sum e_k, sum e_k / K or max e_k with holders from left to right.
Tensor joined(JoinKind kind, const std::vector<Tensor>& e) {
  const std::int64_t n = e[0].shape()[0];
  std::int64_t width = 0;
  for (const Tensor& t : e) width = kind == JoinKind::kConcat ? width + t.shape()[1] : t.shape()[1];
  Tensor z({n, width});
  for (std::int64_t i = 0; i < n; ++i) {
    if (kind == JoinKind::kConcat) {
      auto out = static_cast<std::size_t>(i * width);
      for (const Tensor& t : e)
        for (std::int64_t j = 0; j < t.shape()[1]; ++j) z.f32()[out++] = t.f32()[static_cast<std::size_t>(i * t.shape()[1] + j)];
      continue;
    }
    for (std::int64_t j = 0; j < width; ++j) {
      const auto at = static_cast<std::size_t>(i * width + j);
      float v = e[0].f32()[at];
      for (std::size_t k = 1; k < e.size(); ++k) v = kind == JoinKind::kMax ? std::max(v, e[k].f32()[at]) : v + e[k].f32()[at];
      z.f32()[at] = kind == JoinKind::kMean ? v / static_cast<float>(e.size()) : v;
    }
  }
  return z;
}

/// dL/de_k: the slice of g, g, g / K, or g where e_k is the first of the largest.
Tensor joined_gradient(JoinKind kind, const std::vector<Tensor>& e, std::size_t k, const Tensor& g) {
  if (kind == JoinKind::kConcat) {
    std::int64_t from = 0;
    for (std::size_t i = 0; i < k; ++i) from += e[i].shape()[1];
    return columns_of(g, from, from + e[k].shape()[1]);
  }
  Tensor grad = g.clone();
  for (std::size_t i = 0; i < grad.f32().size(); ++i) {
    float& v = grad.f32()[i];
    if (kind == JoinKind::kMean) v /= static_cast<float>(e.size());
    if (kind != JoinKind::kMax) continue;
    std::size_t first = 0;
    for (std::size_t j = 1; j < e.size(); ++j)
      if (e[j].f32()[i] > e[first].f32()[i]) first = j;
    if (first != k) v = 0.0f;
  }
  return grad;
}

}  // namespace

OracleResult train_vertical(std::vector<OracleHolder> holders, JoinKind join, std::vector<Network> chain, const SiteData& site,
                            const OracleSchedule& s) {
  Context ctx(Backend::kReference);
  const auto loss = make_loss(LossKind::kBinaryCrossEntropy, s.class_weights);
  std::vector<std::vector<Copy>> fronts, rest;  // one copy each
  for (const OracleHolder& h : holders) fronts.emplace_back().emplace_back(h.front, s);
  for (const Network& n : chain) rest.emplace_back().emplace_back(n, s);
  const std::vector<SiteData> sites = [&] {
    std::vector<SiteData> one;
    one.push_back(borrowed(site));
    return one;
  }();
  OracleResult result;
  const auto per_epoch = static_cast<std::int64_t>(slices_of(sites, s, 0).size());
  for (std::int64_t epoch = 0; epoch < s.epochs; ++epoch) {
    double sum = 0.0;
    std::int64_t index = epoch * per_epoch;
    for (const StepSlices& step : slices_of(sites, s, epoch)) {
      const std::int64_t records = records_in(step);
      double mean = 0.0;
      for (const Slice& p : step) {
        const Batch batch = batch_of(site, p, s, epoch);
        std::vector<Saved> front_saved(holders.size()), saved(chain.size());
        std::vector<Tensor> e;
        std::int64_t column = 0;
        for (std::size_t k = 0; k < holders.size(); ++k) {
          e.push_back(holders[k].front.forward(ctx, fronts[k][0].params,
                                               columns_of(batch.features, column, column + holders[k].columns), front_saved[k],
                                               pass_of(s, p)));
          column += holders[k].columns;
        }
        Tensor x = joined(join, e);
        for (std::size_t g = 0; g < chain.size(); ++g)
          x = chain[g].forward(ctx, rest[g][0].params, std::move(x), saved[g], pass_of(s, p));
        Tensor grad;
        mean += loss->evaluate(ctx, x, batch.labels, 1.0 / static_cast<double>(records), grad);
        for (std::size_t g = chain.size(); g-- > 0;)
          grad = chain[g].backward(ctx, rest[g][0].params, saved[g], std::move(grad), InputGrad::kNeeded);
        for (std::size_t k = 0; k < holders.size(); ++k)
          holders[k].front.backward(ctx, fronts[k][0].params, front_saved[k], joined_gradient(join, e, k, grad),
                                    InputGrad::kNotNeeded);
      }
      const double rate = rate_at(s.rate, index++, s.epochs * per_epoch, per_epoch);
      for (auto* all : {&fronts, &rest})
        for (std::vector<Copy>& copies : *all) copies[0].step(ctx, rate);
      ++result.steps;
      sum += mean * static_cast<double>(records);
    }
    result.losses.push_back(sum / static_cast<double>(site.train.size()));
  }
  for (const auto* all : {&fronts, &rest})
    for (const std::vector<Copy>& copies : *all) add_copies(result, copies);
  return result;
}

}  // namespace sutura::testing
