#include "runtime/privacy/guard.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string_view>
#include <type_traits>

#include "core/error.h"
#include "store_doubles.h"

namespace sutura {
namespace {

using privacy_tests::code_of;
using privacy_tests::Disk;
using privacy_tests::store_on;

static_assert(!std::is_copy_constructible_v<RowGuard> && !std::is_copy_assignable_v<RowGuard>);

RowPlan plan_for(double epsilon, std::uint64_t releases, DType wire = DType::kInt8) {
  PrivacyConfig c;
  c.mechanism = Mechanism::kRows;
  c.regime = Regime::kReleaseOnce;
  c.epsilon = epsilon;
  c.delta = 1e-5;
  c.wire = wire;
  c.labels = LabelPolicy::kPublic;
  return plan_rows(c, releases);
}

Tensor some_rows(std::int64_t n = 4) {
  Tensor t({n, 2, 3});  // [N, 2, 3]
  float v = -0.3f;
  for (float& x : t.f32()) x = v += 0.05f;
  return t;
}
std::vector<std::int64_t> records_of(std::int64_t n = 4) {
  std::vector<std::int64_t> r(static_cast<std::size_t>(n));
  std::iota(r.begin(), r.end(), 10);
  return r;
}
Bytes bytes_of(const Tensor& t) { return {t.bytes().begin(), t.bytes().end()}; }

/// A client process: what it keeps is on two disks.
struct Client {
  Client(Disk& ledger_disk, Disk& journal_disk, const RowPlan& plan)
      : ledger(store_on(ledger_disk), "h", {plan.budget_epsilon, plan.delta}),
        journal(store_on(journal_disk), "run"),
        guard(plan, "h", ledger, journal) {}
  Bytes release(std::uint64_t step, std::int64_t n = 4) {
    return bytes_of(guard.release(ctx, some_rows(n), records_of(n), {1, step, 0, 0}));
  }
  Context ctx{Backend::kReference};
  Ledger ledger;
  Journal journal;
  RowGuard guard;
};

TEST(PlanRows, ClaimsComeFromTheIntegerBound) {
  const RowPlan p = plan_for(8.0, 1);
  EXPECT_EQ(p.settings.bound, 213);
  EXPECT_NEAR(p.requested_multiplier, 0.60022907219895156, 1e-10);
  EXPECT_DOUBLE_EQ(p.noise_multiplier, 256.0 / 426);
  EXPECT_LT(p.epsilon, 8.0);
  EXPECT_GT(p.epsilon, 7.95);
  for (const double epsilon : {0.5, 1.0, 2.0, 4.0, 10.0}) {
    for (const std::uint64_t releases : {1u, 5u, 30u}) {
      for (const Relation relation : {Relation::kReplaceOne, Relation::kReplaceOneNonnegative, Relation::kZeroOut}) {
        PrivacyConfig c;
        c.mechanism = Mechanism::kRows;
        c.relation = relation;
        c.epsilon = epsilon;
        c.delta = 1e-6;
        const RowPlan plan = plan_rows(c, releases);
        EXPECT_LE(plan.epsilon, epsilon);
        EXPECT_GE(plan.noise_multiplier, plan.requested_multiplier);
        EXPECT_EQ(plan.settings.bound, std::floor(256 / (relation_factor(relation) * plan.requested_multiplier)));
        EXPECT_EQ(plan.settings.sign == RowSettings::Sign::kNonnegative, relation == Relation::kReplaceOneNonnegative);
      }
    }
  }
  PrivacyConfig c;
  c.mechanism = Mechanism::kRows;
  c.epsilon = 8;
  c.delta = 1e-5;
  c.noise_multiplier = 1.0;
  EXPECT_EQ(plan_rows(c, 1).settings.bound, 128);
  EXPECT_NEAR(plan_rows(c, 1).epsilon, 4.3771780956812246, 1e-10);
  c.noise_multiplier = 129.0;  // B would be 0
  EXPECT_EQ(code_of([&] { plan_rows(c, 1); }), Errc::kConfig);
  c.noise_multiplier.reset();
  c.delta = 0;
  EXPECT_EQ(code_of([&] { plan_rows(c, 1); }), Errc::kConfig);
  c.delta = 1e-5;
  c.mechanism = Mechanism::kNone;
  EXPECT_EQ(code_of([&] { plan_rows(c, 1); }), Errc::kConfig);
}

TEST(PlanRows, TheWireHoldsTheBoundAndEightDeviations) {
  const auto top = [](DType wire) { return wire == DType::kInt8 ? 127 : 32767; };
  for (const DType wire : {DType::kInt8, DType::kInt16})
    for (const std::int32_t bound : {1, 213, 2000, 2031, 2032, 6111, 6112, 14271, 14272, 30591}) {
      const int shift = wire_shift(wire, bound);
      const std::int64_t reach = bound + 8 * 256;
      const auto sent = [&](int s) { return (reach + (s > 0 ? 1 << (s - 1) : 0)) >> s; };
      EXPECT_LE(sent(shift), top(wire)) << bound;
      if (shift > 0) {
        EXPECT_GT(sent(shift - 1), top(wire)) << "the least that fits, " << bound;
      }
    }
  EXPECT_EQ(wire_shift(DType::kInt8, 213), 5);
  EXPECT_EQ(wire_shift(DType::kInt16, 30719), 0);
  EXPECT_EQ(wire_shift(DType::kInt16, 30720), 1);
  EXPECT_EQ(wire_shift(DType::kInt16, 1 << 20), 6);
  EXPECT_EQ(code_of([] { wire_shift(DType::kInt8, 30592); }), Errc::kConfig);

  PrivacyConfig c;
  c.mechanism = Mechanism::kRows;
  c.epsilon = 1e9;
  c.delta = 1e-5;
  c.noise_multiplier = 0.01;  // B = 12800
  EXPECT_EQ(plan_rows(c, 1).settings.shift, 7);
  c.wire = DType::kInt16;
  EXPECT_EQ(plan_rows(c, 1).settings.shift, 0);
  c.noise_multiplier = 0.004;  // B = 32000
  EXPECT_EQ(plan_rows(c, 1).settings.shift, 1);
  c.wire = DType::kInt8;
  EXPECT_EQ(code_of([&] { plan_rows(c, 1); }), Errc::kConfig);
}

TEST(PlanRows, ALargeBoundArrivesWhole) {
  PrivacyConfig c;
  c.mechanism = Mechanism::kRows;
  c.epsilon = 1e9;
  c.delta = 1e-5;
  c.noise_multiplier = 0.01;
  Context ctx(Backend::kReference);
  for (const DType wire_type : {DType::kInt8, DType::kInt16}) {
    c.wire = wire_type;
    const RowSettings settings = plan_rows(c, 1).settings;
    Tensor rows({1, 2}), wire(rows.shape(), wire_type);
    rows.f32()[0] = 1.0f;  // all of the norm in one value: q = B
    rows.f32()[1] = 0.0f;
    release_rows(ctx, settings, ChaChaKey::fresh(), {1, 0}, 0, rows, wire);
    const Tensor back = decode_rows(ctx, settings, wire);
    EXPECT_NEAR(back.f32()[0], 1.0, 8.5 * 256 / settings.bound) << "8 deviations and the rounding";
  }
}

TEST(RowGuard, ReleasesOnceAndReplaysTheSameBytesForNothing) {
  Disk ledger_disk, journal_disk;
  const RowPlan plan = plan_for(8.0, 1);
  Bytes first;
  {
    Client c(ledger_disk, journal_disk, plan);
    first = c.release(5);
    EXPECT_EQ(first.size(), 24u);
    EXPECT_EQ(c.release(5), first);
    EXPECT_EQ(c.ledger.releases(10), 1u);
    EXPECT_EQ(c.ledger.charges(), 1u);
    // The budget holds one release: another step is refused before anything is written.
    const Bytes before = journal_disk.bytes;
    EXPECT_EQ(code_of([&] { c.release(6); }), Errc::kPrivacyBudget);
    EXPECT_EQ(journal_disk.bytes, before);
  }
  Client c(ledger_disk, journal_disk, plan);  // after a restart, with another noise key
  EXPECT_EQ(c.release(5), first);
  EXPECT_EQ(c.ledger.charges(), 1u);
  EXPECT_LE(c.ledger.total(), 8.0);
  EXPECT_EQ(code_of([&] { c.release(6); }), Errc::kPrivacyBudget);
  EXPECT_EQ(code_of([&] { c.release(5, 3); }), Errc::kData);
}

TEST(RowGuard, DrawsFreshNoisePerStepEdgePurposeAndProcess) {
  Disk d[4];
  const RowPlan plan = plan_for(100.0, 3, DType::kInt16);
  Client a(d[0], d[1], plan), b(d[2], d[3], plan);
  const Bytes first = a.release(0);
  EXPECT_NE(a.release(1), first);
  EXPECT_NE(bytes_of(a.guard.release(a.ctx, some_rows(), records_of(), {1, 0, 0, 1})), first);
  EXPECT_NE(b.release(0), first);
}

TEST(RowGuard, AForkedChildTakesANewKey) {
  Disk d[4];
  const RowPlan plan = plan_for(100.0, 3, DType::kInt16);
  Client c(d[0], d[1], plan);
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const ::pid_t child = ::fork();
  if (child == 0) {
    const Bytes mine = c.release(0);
    const bool sent = ::write(pipe_ends[1], mine.data(), mine.size()) == static_cast<ssize_t>(mine.size());
    ::_exit(sent ? 0 : 1);
  }
  const Bytes mine = c.release(0);
  Bytes theirs(mine.size());
  ASSERT_EQ(::read(pipe_ends[0], theirs.data(), theirs.size()), static_cast<ssize_t>(theirs.size()));
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_NE(mine, theirs);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);
}

TEST(RowGuard, ACrashBetweenJournalAndLedgerIsPaidOnReplay) {
  Disk ledger_disk, journal_disk;
  const RowPlan plan = plan_for(8.0, 1);
  Bytes journalled;
  {
    Client c(ledger_disk, journal_disk, plan);
    ledger_disk.appends_until_failure = 0;  // the process dies after the journal's fsync
    EXPECT_EQ(code_of([&] { c.release(5); }), Errc::kResources);
    EXPECT_EQ(c.journal.entries(), 1u);
    EXPECT_EQ(c.ledger.charges(), 0u);
    journalled = bytes_of(*c.journal.lookup({1, 5, 0, 0}, records_of()));
  }
  ledger_disk.appends_until_failure = -1;
  Client c(ledger_disk, journal_disk, plan);
  EXPECT_EQ(c.release(5), journalled);   // never drawn again
  EXPECT_EQ(c.ledger.releases(10), 1u);  // and paid for
  EXPECT_EQ(c.release(5), journalled);
  EXPECT_EQ(c.ledger.releases(10), 1u);
}

TEST(RowGuard, NothingIsChargedWhenTheJournalFails) {
  Disk ledger_disk, journal_disk;
  const RowPlan plan = plan_for(8.0, 1);
  Client c(ledger_disk, journal_disk, plan);
  journal_disk.appends_until_failure = 0;
  EXPECT_EQ(code_of([&] { c.release(5); }), Errc::kResources);
  EXPECT_EQ(c.ledger.charges(), 0u);
}

TEST(RowGuard, RefusesToRedrawWhatTheLedgerHasPaidFor) {
  Disk ledger_disk, journal_disk, lost;
  const RowPlan plan = plan_for(100.0, 5);
  {
    Client c(ledger_disk, journal_disk, plan);
    (void)c.release(5);
  }
  Client c(ledger_disk, lost, plan);
  EXPECT_EQ(code_of([&] { c.release(5); }), Errc::kData);
  EXPECT_NO_THROW(c.release(6));
}

TEST(RowGuard, DecodesNearTheRowsAndPassesGradients) {
  Disk d[2];
  const RowPlan plan = plan_for(2000.0, 1, DType::kInt16);  // hardly any noise
  Client c(d[0], d[1], plan);
  Tensor rows = some_rows();
  for (float& v : rows.f32()) v *= 0.2f;
  const Tensor wire = c.guard.release(c.ctx, rows, records_of(), {1, 0, 0, 0});
  EXPECT_EQ(wire.shape(), rows.shape());
  EXPECT_EQ(wire.dtype(), DType::kInt16);
  const Tensor decoded = c.guard.decode(c.ctx, wire), free_decoded = decode_rows(c.ctx, plan.settings, wire);
  EXPECT_EQ(bytes_of(decoded), bytes_of(free_decoded));
  const double sigma = 256 * plan.settings.grid();
  EXPECT_LT(sigma, 0.1);
  for (std::size_t i = 0; i < decoded.f32().size(); ++i) EXPECT_NEAR(decoded.f32()[i], rows.f32()[i], 6 * sigma);
  const Tensor grad = some_rows();
  EXPECT_EQ(bytes_of(c.guard.backward(c.ctx, rows, grad)), bytes_of(grad));  // inside the norm: untouched
}

TEST(RowGuard, TestNoiseIsRepeatableAndSaysSo) {
  const RowPlan plan = plan_for(8.0, 1);
  const auto once = [&](std::uint64_t seed) {
    Disk d[2];
    Ledger ledger(store_on(d[0]), "h", {8.0, 1e-5});
    Journal journal(store_on(d[1]), "run");
    RowGuard guard(plan, "h", ledger, journal, NotPrivateTestNoise{seed});
    EXPECT_EQ(guard.noise_source(), NoiseSource::kTestSeed);
    Context ctx(Backend::kReference);
    return bytes_of(guard.release(ctx, some_rows(), records_of(), {1, 0, 0, 0}));
  };
  EXPECT_EQ(once(1), once(1));
  EXPECT_NE(once(1), once(2));
}

#ifdef SUTURA_FAILPOINTS
std::pair<Bytes, std::uint64_t> release_in(const std::filesystem::path& folder) {
  const RowPlan plan = plan_for(8.0, 1);
  Ledger ledger(file_store(folder / "ledger"), "h", {plan.budget_epsilon, plan.delta});
  Journal journal(file_store(folder / "journal"), "run");
  RowGuard guard(plan, "h", ledger, journal);
  Context ctx(Backend::kReference);
  Bytes out = bytes_of(guard.release(ctx, some_rows(), records_of(), {1, 5, 0, 0}));
  return {std::move(out), ledger.releases(10)};
}

/// Not a test of its own: what the killed process of the next test runs.
TEST(RowGuardChild, Releases) {
  const char* folder = std::getenv("SUTURA_GUARD_TEST_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "runs as a child only";
  (void)release_in(folder);
}

TEST(RowGuard, KilledAtEveryPointItNeverUnderCountsAndNeverRedraws) {
  const auto folder = std::filesystem::temp_directory_path() / ("sutura_guard_" + std::to_string(::getpid()));
  for (const char* point : {"guard.after_noise", "guard.after_journal", "guard.after_ledger"}) {
    std::filesystem::create_directories(folder);
    const ::pid_t child = ::fork();
    if (child == 0) {  // a new program: the point is read once per process
      ::setenv("SUTURA_FAILPOINT", (std::string(point) + ":1").c_str(), 1);
      ::setenv("SUTURA_GUARD_TEST_FOLDER", folder.c_str(), 1);
      ::execl("/proc/self/exe", "guard_child", "--gtest_filter=RowGuardChild.Releases", "--gtest_brief=1", nullptr);
      ::_exit(1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << point;
    Bytes journalled;
    {
      Journal journal(file_store(folder / "journal"), "run");
      if (auto t = journal.lookup({1, 5, 0, 0}, records_of())) journalled = bytes_of(*t);
      EXPECT_EQ(journalled.empty(), std::string_view(point) == "guard.after_noise");
    }
    const auto [out, releases] = release_in(folder);
    EXPECT_EQ(releases, 1u) << point;
    if (!journalled.empty()) {
      EXPECT_EQ(out, journalled) << point;
    }
    std::filesystem::remove_all(folder);
  }
}
#endif

}  // namespace
}  // namespace sutura
