#include "tests/engine/stale_line.h"

#include <algorithm>

#include "models/losses/loss.h"
#include "runtime/data/batches.h"

namespace sutura::testing {
namespace {

using Version = std::vector<float>;

void load(ParamStore& params, const Version& v) { std::ranges::copy(v, params.values().f32().begin()); }
Version copy_of(const ParamStore& params) { return {params.values().f32().begin(), params.values().f32().end()}; }

}  // namespace

StaleResult train_stale(const std::vector<Network>& segments, const std::vector<std::int64_t>& delays, const SiteData& site,
                        const OracleSchedule& s, BackwardWeights backward) {
  Context ctx(Backend::kReference);
  const auto loss = make_loss(LossKind::kBinaryCrossEntropy);
  std::vector<ParamStore> params;
  std::vector<std::unique_ptr<Optimizer>> optimizers;
  std::vector<std::vector<Version>> versions(segments.size());  // versions[g][k]: after k updates
  for (std::size_t g = 0; g < segments.size(); ++g) {
    params.push_back(segments[g].make_params(s.seed));
    optimizers.push_back(make_optimizer(s.optimizer, params[g].trained()));
    versions[g].push_back(copy_of(params[g]));
  }
  const std::int64_t n = site.train.size(), per_epoch = (n + s.batch_size - 1) / s.batch_size;
  StaleResult result;
  for (std::int64_t k = 0; k < s.epochs * per_epoch; ++k) {
    const std::int64_t epoch = k / per_epoch, t = k % per_epoch;
    const auto order = epoch_order(n, s.seed, site.name, epoch);
    const std::vector<std::int64_t> batch(order.begin() + n * t / per_epoch, order.begin() + n * (t + 1) / per_epoch);
    const Tensor labels = gather_rows(site.train.labels, batch);
    std::vector<Saved> saved(segments.size());
    Tensor x = gather_rows(site.train.features, batch);
    for (std::size_t g = 0; g < segments.size(); ++g) {
      load(params[g], versions[g][static_cast<std::size_t>(std::max<std::int64_t>(0, k - delays[g]))]);
      x = segments[g].forward(ctx, params[g], std::move(x), saved[g], Pass{Mode::kTrain, s.seed, 0, 0, 0});
    }
    Tensor grad(x.shape());
    result.losses.push_back(loss->evaluate(ctx, x, labels, 1.0 / static_cast<double>(batch.size()), grad));
    for (std::size_t g = segments.size(); g-- > 0;) {
      if (backward == BackwardWeights::kNewest) load(params[g], versions[g].back());
      grad = segments[g].backward(ctx, params[g], saved[g], std::move(grad), g > 0 ? InputGrad::kNeeded : InputGrad::kNotNeeded);
    }
    const double rate = rate_at(s.rate, k, s.epochs * per_epoch, per_epoch);
    for (std::size_t g = 0; g < segments.size(); ++g) {
      load(params[g], versions[g].back());
      optimizers[g]->step(ctx, params[g], rate);
      params[g].zero_grads(ctx);
      versions[g].push_back(copy_of(params[g]));
    }
  }
  for (const auto& v : versions) result.weights.push_back(v.back());
  return result;
}

}  // namespace sutura::testing
