#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "runtime/privacy/accountant.h"
#include "runtime/privacy/append_store.h"
#include "runtime/privacy/release_key.h"

namespace sutura {

/// What any one record may spend: a charge that would leave (epsilon, delta) is refused. Infinite epsilon only counts.
struct Budget {
  double epsilon = 0.0;
  double delta = 0.0;
};

/// How often each record of one data owner was released, in an append-only file: one JSON line a charge, each with the
/// BLAKE2b of the line before. Per data set, not per run: charges of earlier runs count. Written before a message leaves,
/// so that a crash can over-count but never under-count. A last line without its end is dropped (its release was never
/// sent) and note() says so; any other damage is refused.
/// Threads  one. Errors  kData for a damaged or foreign file, kResources from the store.
class Ledger {
 public:
  Ledger(std::unique_ptr<AppendStore> store, std::string owner, Budget budget);

  /// Before anything is drawn. Errors: kPrivacyBudget if the charge would take any record over the budget. A record that
  /// appears twice pays twice.
  void check(std::span<const std::int64_t> records, const DpEvent& event) const;
  /// Checks, appends, syncs. Errors: kPrivacyBudget; kInternal if this release was charged before.
  void charge(const std::string& run, const ReleaseKey& key, std::span<const std::int64_t> records, const DpEvent& event);
  bool charged(const std::string& run, const ReleaseKey& key) const;

  /// Releases of one record, all events together. Record indices are positions in the owner's data set.
  std::uint64_t releases(std::int64_t record) const;
  std::uint64_t most_releases() const;
  /// Epsilon at the budget's delta of the record that spent most; 0 before the first charge.
  double total() const;
  double total(double delta) const;
  const Budget& budget() const { return budget_; }
  /// Position, for checkpoints: charges so far and the digest of the last line.
  std::uint64_t charges() const { return next_sequence_ - 1; }
  const Digest& head() const { return head_; }
  /// Empty, or what was repaired when the file was opened.
  const std::string& note() const { return note_; }

 private:
  struct Uses {  // of one record in one charge
    std::int64_t record;
    std::uint32_t times;
  };
  static std::vector<Uses> counted(std::span<const std::int64_t> records);
  static std::string ranges(const std::vector<Uses>& uses);
  static std::vector<Uses> from_ranges(std::string_view text);
  double worst_after(const std::vector<Uses>& uses, const DpEvent& event) const;
  double spent(std::size_t record) const;
  void check(const std::vector<Uses>& uses, const DpEvent& event) const;
  void apply(const std::vector<Uses>& uses, const DpEvent& event);
  void load();
  void load_line(std::string_view line);
  void write_line(const std::string& line);

  std::unique_ptr<AppendStore> store_;
  std::string owner_;
  Budget budget_;
  std::vector<DpEvent> events_;                     // distinct, in order of appearance
  std::vector<std::vector<std::uint32_t>> counts_;  // [event][record]
  std::map<std::string, std::set<ReleaseKey>, std::less<>> charged_;
  std::uint64_t next_sequence_ = 0;  // 0 is the header line
  Digest head_{};
  std::string note_;
};

}  // namespace sutura
