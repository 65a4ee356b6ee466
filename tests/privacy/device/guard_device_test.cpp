// The guard end to end with rows on a device: what leaves, what is written and what is paid are the CPU's.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "../audit_guards.h"
#include "../chi_square.h"
#include "../store_doubles.h"
#include "runtime/privacy/guard.h"
#include "tests/simt/executor.h"

namespace sutura {
namespace {

using privacy_tests::chi_square_p;
using privacy_tests::code_of;
using privacy_tests::Disk;
using privacy_tests::Histogram;
using privacy_tests::plan_with;
using privacy_tests::store_on;

Context device() { return Context(Backend::kNative, simt::table()); }
Bytes bytes_of(const Tensor& t) { return {t.bytes().begin(), t.bytes().end()}; }

Tensor some_rows() {
  Tensor t({4, 2, 3});  // [N, 2, 3]
  float v = -0.9f;
  for (float& x : t.f32()) x = v += 0.08f;
  return t;
}
std::vector<std::int64_t> records_of(std::int64_t n) {
  std::vector<std::int64_t> r(static_cast<std::size_t>(n));
  std::iota(r.begin(), r.end(), 10);
  return r;
}

struct Site {
  explicit Site(const RowPlan& plan)
      : ledger(store_on(disk[0]), "h", {2 * plan.epsilon, plan.delta}),  // a few releases
        journal(store_on(disk[1]), "run"),
        guard(plan, "h", ledger, journal, NotPrivateTestNoise{7}) {}
  Disk disk[2];
  Ledger ledger;
  Journal journal;
  RowGuard guard;
};

TEST(RowGuardOnADevice, SendsJournalsAndChargesWhatTheCpuDoes) {
  for (const DType wire : {DType::kInt8, DType::kInt16}) {
    const RowPlan plan = plan_with(1.0, wire);
    Context cpu(Backend::kReference), ctx = device();
    Site here(plan), there(plan);
    const ReleaseKey key{1, 5, 0, 0};
    const Tensor rows = some_rows(), on_device = ctx.clone(rows);
    const Tensor want = here.guard.release(cpu, rows, records_of(4), key);
    const Tensor got = there.guard.release(ctx, on_device, records_of(4), key);
    EXPECT_EQ(got.place(), Tensor::Place::kHost);
    EXPECT_EQ(got.dtype(), wire);
    EXPECT_EQ(bytes_of(got), bytes_of(want));
    EXPECT_EQ(there.disk[1].bytes, here.disk[1].bytes) << "the journal";
    EXPECT_EQ(there.ledger.charges(), 1u);
    EXPECT_EQ(there.ledger.total(), here.ledger.total());
    EXPECT_EQ(bytes_of(there.guard.release(ctx, on_device, records_of(4), key)), bytes_of(want)) << "a replay";
    EXPECT_EQ(there.ledger.charges(), 1u);

    const Tensor decoded = there.guard.decode(ctx, got);
    EXPECT_EQ(decoded.place(), Tensor::Place::kDevice);
    EXPECT_EQ(bytes_of(ctx.host(Tensor::borrow(decoded))), bytes_of(here.guard.decode(cpu, want)));
    const Tensor grad = some_rows();
    const Tensor back = there.guard.backward(ctx, on_device, ctx.clone(grad));
    EXPECT_EQ(bytes_of(ctx.host(Tensor::borrow(back))), bytes_of(here.guard.backward(cpu, rows, grad)));
  }
}

TEST(RowGuardOnADevice, ChargesNothingWhenTheJournalFailsOrTheBudgetIsSpent) {
  const RowPlan plan = plan_with(1.0, DType::kInt8);
  Context ctx = device();
  Site site(plan);
  const Tensor rows = ctx.clone(some_rows());
  site.disk[1].appends_until_failure = 0;
  EXPECT_EQ(code_of([&] { site.guard.release(ctx, rows, records_of(4), {1, 0, 0, 0}); }), Errc::kResources);
  EXPECT_EQ(site.ledger.charges(), 0u);
  site.disk[1].appends_until_failure = -1;
  int released = 0;
  Errc refused{};
  for (std::uint64_t step = 1; released < 100; ++step) {
    try {
      (void)site.guard.release(ctx, rows, records_of(4), {1, step, 0, 0});
      ++released;
    } catch (const Error& e) {
      refused = e.code();
      break;
    }
  }
  EXPECT_GE(released, 2);
  EXPECT_EQ(refused, Errc::kPrivacyBudget);
  EXPECT_EQ(site.ledger.charges(), static_cast<std::uint64_t>(released));
}

/// The noise of 256 rows of zeros, drawn on a device; `divisor` 2: a broken mechanism that adds half of it.
Histogram noise_of_zero_rows(int divisor) {
  Context ctx = device();
  RowSettings s;
  s.wire = DType::kInt16;
  s.shift = 0;
  Tensor wire = ctx.tensor({256, 1024}, s.wire);
  release_rows(ctx, s, ChaChaKey{Bytes(32, std::byte{9})}, {1, 2}, 0, ctx.zeros({256, 1024}), wire);
  std::vector<std::int32_t> z;
  const Tensor host = ctx.host(std::move(wire));
  for (const std::int16_t v : host.as<std::int16_t>()) z.push_back(v / divisor);
  Histogram h;
  h.add(z);
  return h;
}

TEST(DeviceNoise, FitsTheRoundedGaussianAndHalfOfItDoesNot) {
  const Histogram h = noise_of_zero_rows(1);
  const auto n = static_cast<double>(h.n);
  EXPECT_EQ(h.n, 256 * 1024);
  EXPECT_GT(chi_square_p(h, 256), 1e-4);
  EXPECT_LT(chi_square_p(h, 256), 1 - 1e-4);
  EXPECT_LT(std::fabs(h.sum / n), 4 * 256 / std::sqrt(n));
  // The variance of the sample variance of a Gaussian is 2 sigma^4 / n.
  const double spread = 5 * 65536 * std::sqrt(2 / n);
  EXPECT_NEAR(h.squares / n, 65536 + 1.0 / 12, spread);
  const Histogram half = noise_of_zero_rows(2);
  EXPECT_LT(chi_square_p(half, 256), 1e-4);
  EXPECT_GT(std::fabs(half.squares / n - 65536), spread);
}

}  // namespace
}  // namespace sutura
