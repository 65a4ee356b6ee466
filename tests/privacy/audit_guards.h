#pragma once
#include <limits>
#include <span>

#include "core/random/chacha20.h"
#include "runtime/privacy/audit.h"
#include "runtime/privacy/guard.h"

namespace sutura::privacy_tests {

/// A broken guard for negative controls: the same integers as the product, but half of the noise.
class HalfNoiseGuard final : public Guard {
 public:
  explicit HalfNoiseGuard(const RowPlan& plan) : plan_(plan), key_(ChaChaKey::fresh()) {}
  Tensor release(Context& ctx, const Tensor& rows, std::span<const std::int64_t>, const ReleaseKey& key) override {
    RowSettings exact = plan_.settings;
    exact.wire = DType::kInt16;
    exact.shift = 0;
    Tensor q(rows.shape(), DType::kInt32), y(rows.shape(), DType::kInt16), wire(rows.shape(), DType::kInt16);
    quantise_rows(ctx, exact, rows, q);
    release_rows(ctx, exact, key_, {key.step, key.purpose}, 0, rows, y);
    const auto from = q.as<std::int32_t>();
    const auto noisy = y.as<std::int16_t>();
    const auto to = wire.as<std::int16_t>();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<std::int16_t>(from[i] + (noisy[i] - from[i]) / 2);
    return wire;
  }
  Tensor decode(Context& ctx, const Tensor& wire) const override {
    RowSettings exact = plan_.settings;
    exact.wire = DType::kInt16;
    exact.shift = 0;
    return decode_rows(ctx, exact, wire);
  }
  Tensor backward(Context&, const Tensor& rows, const Tensor&) const override { return rows.clone(); }
  DpEvent event() const override { return plan_.event(); }
  DType wire_dtype() const override { return DType::kInt16; }
  NoiseSource noise_source() const override { return NoiseSource::kOperatingSystem; }

 private:
  RowPlan plan_;
  ChaChaKey key_;
};

inline RowPlan plan_with(double noise_multiplier, DType wire, Relation relation = Relation::kReplaceOne) {
  PrivacyConfig c;
  c.mechanism = Mechanism::kRows;
  c.relation = relation;
  c.epsilon = 100;
  c.delta = 1e-5;
  c.noise_multiplier = noise_multiplier;
  c.wire = wire;
  return plan_rows(c, 1);
}

/// The product's guard with repeatable noise: a statistical bound near its claim must not fail one run in a thousand.
inline AuditResult seeded_audit(const RowPlan& plan, const AuditSettings& settings, std::uint64_t seed = 1) {
  Context ctx(Backend::kReference);
  Ledger ledger(memory_store(), "audit", {std::numeric_limits<double>::infinity(), plan.delta});
  Journal journal(memory_store(), "audit");
  RowGuard guard(plan, "audit", ledger, journal, NotPrivateTestNoise{seed});
  return audit_guard(ctx, guard, plan, settings);
}

}  // namespace sutura::privacy_tests
