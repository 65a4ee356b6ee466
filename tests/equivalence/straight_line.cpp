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
    params.zero_grads();
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

std::vector<Weights> weights_of(const std::vector<Copy>& copies) {
  std::vector<Weights> all;
  for (const Copy& c : copies) all.push_back(c.weights());
  return all;
}

/// Weights cannot be copied, so no initialiser list.
std::vector<Weights> only(Weights weights) {
  std::vector<Weights> one;
  one.push_back(std::move(weights));
  return one;
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
  const auto per_epoch = static_cast<std::int64_t>(slices_of(sites, s, 0).size());
  for (std::int64_t epoch = 0; epoch < s.epochs; ++epoch) {
    double sum = 0.0;
    std::int64_t seen = 0, index = epoch * per_epoch;
    for (const StepSlices& step : slices_of(sites, s, epoch)) {
      const std::int64_t records = records_in(step);
      double mean = 0.0;
      for (const Slice& p : step) {
        const Batch batch = batch_of(sites[p.site], p, s, epoch);
        std::vector<Saved> saved(segments.size());
        Tensor x = batch.features.clone();
        for (std::size_t g = 0; g < segments.size(); ++g)
          x = segments[g].network.forward(ctx, copy(g, p.site).params, std::move(x), saved[g], pass_of(s, p));
        Tensor grad;
        mean += loss->evaluate(ctx, x, batch.labels, 1.0 / static_cast<double>(records), grad);
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
      sum += mean * static_cast<double>(records);
      seen += records;
    }
    result.losses.push_back(sum / static_cast<double>(seen));
    for (std::size_t g = 0; g < segments.size(); ++g) average(all[g], sites, segments[g].round_end);
  }
  for (const std::vector<Copy>& copies : all) result.copies.push_back(weights_of(copies));
  return result;
}

OracleResult train_merged(OracleSegment front, OracleSegment tail, const std::vector<SiteData>& sites, const OracleSchedule& s) {
  Context ctx(Backend::kReference);
  const auto loss = make_loss(LossKind::kBinaryCrossEntropy, s.class_weights);
  std::vector<Copy> fronts = copies_of(front, sites.size(), s);
  Copy server(tail.network, s);
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
  result.copies.push_back(weights_of(fronts));
  result.copies.push_back(only(server.weights()));
  return result;
}

OracleResult train_vertical(Network first, Network second, Network tail, std::int64_t columns, const SiteData& site,
                            const OracleSchedule& s) {
  Context ctx(Backend::kReference);
  const auto loss = make_loss(LossKind::kBinaryCrossEntropy, s.class_weights);
  Copy a(first, s), b(second, s), server(tail, s);
  const std::vector<SiteData> sites = [&] {
    std::vector<SiteData> one;
    one.push_back(borrowed(site));
    return one;
  }();
  // Column ranges by hand: the widths are those of the records, and of the fronts' outputs.
  const auto part = [](const Tensor& x, std::int64_t from, std::int64_t to) {
    Tensor y({x.shape()[0], to - from});  // [n, to - from]
    for (std::int64_t i = 0; i < x.shape()[0]; ++i)
      for (std::int64_t j = from; j < to; ++j)
        y.f32()[static_cast<std::size_t>(i * (to - from) + j - from)] = x.f32()[static_cast<std::size_t>(i * x.shape()[1] + j)];
    return y;
  };
  const auto beside = [](const Tensor& x, const Tensor& z) {
    Tensor y({x.shape()[0], x.shape()[1] + z.shape()[1]});  // [n, dx + dz]
    std::size_t out = 0;
    for (std::int64_t i = 0; i < x.shape()[0]; ++i)
      for (const Tensor* t : {&x, &z})
        for (std::int64_t j = 0; j < t->shape()[1]; ++j)
          y.f32()[out++] = t->f32()[static_cast<std::size_t>(i * t->shape()[1] + j)];
    return y;
  };
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
        const std::int64_t width = batch.features.shape()[1];
        Saved sa, sb, st;
        const Tensor za = first.forward(ctx, a.params, part(batch.features, 0, columns), sa, pass_of(s, p));
        const Tensor zb = second.forward(ctx, b.params, part(batch.features, columns, width), sb, pass_of(s, p));
        const Tensor out = tail.forward(ctx, server.params, beside(za, zb), st, pass_of(s, p));
        Tensor grad;
        mean += loss->evaluate(ctx, out, batch.labels, 1.0 / static_cast<double>(records), grad);
        grad = tail.backward(ctx, server.params, st, std::move(grad), InputGrad::kNeeded);
        const std::int64_t cut = za.shape()[1];
        first.backward(ctx, a.params, sa, part(grad, 0, cut), InputGrad::kNotNeeded);
        second.backward(ctx, b.params, sb, part(grad, cut, grad.shape()[1]), InputGrad::kNotNeeded);
      }
      const double rate = rate_at(s.rate, index++, s.epochs * per_epoch, per_epoch);
      for (Copy* c : {&a, &b, &server}) c->step(ctx, rate);
      sum += mean * static_cast<double>(records);
    }
    result.losses.push_back(sum / static_cast<double>(site.train.size()));
  }
  for (const Copy* c : {&a, &b, &server}) result.copies.push_back(only(c->weights()));
  return result;
}

}  // namespace sutura::testing
