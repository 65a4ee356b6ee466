#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/random/chacha20.h"
#include "kernels/context.h"
#include "kernels/tensor.h"
#include "runtime/privacy/accountant.h"
#include "runtime/privacy/journal.h"
#include "runtime/privacy/ledger.h"
#include "runtime/privacy/release_key.h"
#include "runtime/privacy/row_plan.h"

namespace sutura {

/// Where a guard's noise comes from. Everything made with test noise says NOT PRIVATE.
enum class NoiseSource { kOperatingSystem, kTestSeed };

/// The privacy mechanism of one leg of one edge: what it lets out, what that costs, and the gradient through it.
/// Not copyable: a copy would be a second owner of the noise key. Threads: one.
class Guard {
 public:
  Guard() = default;
  virtual ~Guard() = default;
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  /// The bytes that may leave for rows of these records. When it returns they are journalled and paid for.
  /// Shapes   rows: [N, ...] float32 where ctx computes, one record index per row; result: the same shape, wire_dtype(), in host
  ///          memory. Waits for a device's work, so it is never part of a captured graph.
  /// Errors   kPrivacyBudget before anything is drawn; kResources if journal or ledger cannot be written: nothing may be sent.
  virtual Tensor release(Context& ctx, const Tensor& rows, std::span<const std::int64_t> records, const ReleaseKey& key) = 0;
  /// float32 values of a wire tensor (in any memory), where ctx computes. The receiving side needs no guard: decode_rows().
  virtual Tensor decode(Context& ctx, const Tensor& wire) const = 0;
  /// Gradient of `rows` from the gradient of the decoded release.
  virtual Tensor backward(Context& ctx, const Tensor& rows, const Tensor& grad) const = 0;
  /// What one release costs each of its records.
  virtual DpEvent event() const = 0;
  virtual DType wire_dtype() const = 0;
  virtual NoiseSource noise_source() const = 0;
};

/// float32 rows, where ctx computes, of a released wire tensor in any memory, at any party: needs no key.
Tensor decode_rows(Context& ctx, const RowSettings& settings, const Tensor& wire);

/// Makes noise repeatable: for tests only. Its one use is RowGuard's last constructor, whose statements say NOT PRIVATE.
struct NotPrivateTestNoise {
  std::uint64_t seed = 0;
};

/// The integer row mechanism behind journal and ledger. The noise key is fresh from the operating system in every process,
/// never stored, and wiped at the end; a forked child takes a new one.
/// A replayed key returns the journalled bytes and pays only if a crash came between journal and ledger.
/// Source   the order draw, journal, charge, then send: a crash over-counts, never under-counts.
class RowGuard final : public Guard {
 public:
  /// `ledger` and `journal` outlive the guard. `site` is the data owner.
  RowGuard(const RowPlan& plan, std::string site, Ledger& ledger, Journal& journal);
  RowGuard(const RowPlan& plan, std::string site, Ledger& ledger, Journal& journal, NotPrivateTestNoise noise);

  Tensor release(Context& ctx, const Tensor& rows, std::span<const std::int64_t> records, const ReleaseKey& key) override;
  Tensor decode(Context& ctx, const Tensor& wire) const override;
  Tensor backward(Context& ctx, const Tensor& rows, const Tensor& grad) const override;
  DpEvent event() const override { return plan_.event(); }
  DType wire_dtype() const override { return plan_.settings.wire; }
  NoiseSource noise_source() const override { return source_; }
  const RowPlan& plan() const { return plan_; }

 private:
  std::optional<Tensor> replay(const Tensor& rows, std::span<const std::int64_t> records, const ReleaseKey& key);
  ChaChaKey key_of(const ReleaseKey& key);

  RowPlan plan_;
  std::string site_;
  Ledger& ledger_;
  Journal& journal_;
  NoiseSource source_;
  ChaChaKey master_;
  ::pid_t owner_process_;
};

}  // namespace sutura
