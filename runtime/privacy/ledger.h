#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
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

/// Where record numbers come from. In a file that has changed, or is counted in another way, a number is another record.
struct LedgerSource {
  Digest digest{};        ///< of the data file: SiteData::source_digest
  std::string numbering;  ///< what its records are counted over: SiteData::source_numbering
};

/// How often each record of one data owner was released, in an append-only file: one JSON line a charge, each with the
/// BLAKE2b of the line before. Per data set, not per run: charges of earlier runs count. Written before a message leaves,
/// so that a crash can over-count but never under-count. A last line without its end is dropped (its release was never
/// sent) and note() says so; any other damage is refused. The header line binds it to the source of the record numbers.
/// Threads  one. Errors  kData for a damaged or foreign file, kResources from the store.
class Ledger {
 public:
  /// Studies give the source of their record numbers; audits, tests and readers leave it out: then a ledger that is bound
  /// to a source can be read but not charged. Errors: kData if an existing ledger is bound to another source, or to none;
  /// kInvalidArgument for a digest that is all zero, which is that of no file.
  Ledger(std::unique_ptr<AppendStore> store, std::string owner, Budget budget,
         std::optional<LedgerSource> source = std::nullopt);

  /// Before anything is drawn. Errors: kPrivacyBudget if the charge would take any record over the budget. A record that
  /// appears twice pays twice. Both calls: kInvalidArgument for a bound ledger that was opened without its source.
  void check(std::span<const std::int64_t> records, const DpEvent& event) const;
  /// Checks, appends, syncs. Errors: kPrivacyBudget; kInternal if this release was charged before.
  void charge(const std::string& run, const ReleaseKey& key, std::span<const std::int64_t> records, const DpEvent& event);
  bool charged(const std::string& run, const ReleaseKey& key) const;

  /// Releases of one record, all events together. A record is its row number in the owner's data file
  /// (Dataset::source_rows), never a position in a split: that differs with seed, partition and fractions.
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
  void check_source(std::string_view digest_hex, const std::string& numbering);
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
  std::optional<LedgerSource> source_;
  bool readable_only_ = false;  // bound to a source, opened without
  std::vector<DpEvent> events_;                     // distinct, in order of appearance
  std::vector<std::vector<std::uint32_t>> counts_;  // [event][record]
  std::map<std::string, std::set<ReleaseKey>, std::less<>> charged_;
  std::uint64_t next_sequence_ = 0;  // 0 is the header line
  Digest head_{};
  std::string note_;
};

}  // namespace sutura
