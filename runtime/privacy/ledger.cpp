#include "runtime/privacy/ledger.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"

namespace sutura {
namespace {

using Json = nlohmann::ordered_json;
constexpr std::string_view kFormat = "sutura-ledger-1";
constexpr std::int64_t kRecordLimit = std::int64_t{1} << 28;  // a damaged index must not become an allocation

[[noreturn]] void damaged(std::uint64_t line) {
  throw Error(Errc::kData, "line " + std::to_string(line + 1) +
                               " of the privacy ledger is damaged or does not follow from the line before; it is not used");
}

double mu_squared(const DpEvent& event) {
  const auto* g = std::get_if<GaussianEvent>(&event);
  return g == nullptr ? std::numeric_limits<double>::infinity() : 1.0 / (g->noise_multiplier * g->noise_multiplier);
}

double epsilon_at(double mu2, double delta) {
  if (mu2 == 0.0) return 0.0;
  return std::isinf(mu2) ? mu2 : gaussian_epsilon(1.0, mu2, delta);
}

/// The JSON text of a line; its last field is the CRC-32 of the text without it, so that the last line is guarded too.
std::string sealed(Json line) {
  line["crc"] = crc32(as_bytes(line.dump()));
  return line.dump();
}
bool seal_intact(Json line) {
  const auto crc = line.at("crc").get<std::uint32_t>();
  line.erase("crc");
  return crc32(as_bytes(line.dump())) == crc;
}

std::int64_t number(std::string_view& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && value >= 0 && value < kRecordLimit, Errc::kData, "a record range is not a number");
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool took(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

Ledger::Ledger(std::unique_ptr<AppendStore> store, std::string owner, Budget budget, std::optional<LedgerSource> source)
    : store_(std::move(store)), owner_(std::move(owner)), budget_(budget), source_(std::move(source)) {
  require(budget.epsilon > 0 && budget.delta > 0 && budget.delta < 1, Errc::kInvalidArgument,
          "a privacy budget needs epsilon > 0 and delta between 0 and 1");
  // A caller that lost the digest on the way must not bind the ledger to nothing.
  require(!source_ || source_->digest != Digest{}, Errc::kInvalidArgument, "a ledger's source has no digest");
  load();
  if (next_sequence_ > 0) return;
  Json header = {{"seq", 0}, {"ledger", kFormat}, {"owner", owner_}};
  if (source_) {
    header["source"] = to_hex(source_->digest);
    header["numbering"] = source_->numbering;
  }
  write_line(sealed(std::move(header)));
}

/// Compares with the header line, where an unbound ledger has empty texts.
void Ledger::check_source(std::string_view digest_hex, const std::string& numbering) {
  readable_only_ = !digest_hex.empty() && !source_;
  if (!source_) return;
  require(!digest_hex.empty(), Errc::kData,
          "this privacy ledger does not say which data file its record numbers belong to: its charges cannot be told to "
          "records; start a new ledger only if the records are new");
  require(digest_hex == to_hex(source_->digest), Errc::kData,
          "the data file has changed since this ledger began: record numbers no longer mean the same records; bring back "
          "the file as it was, and start a new ledger only if the records are new");
  require(numbering == source_->numbering, Errc::kData,
          "this privacy ledger counts records over " + numbering + ", the study over " + source_->numbering +
              ": record numbers do not mean the same records; read the data file as before");
}

std::vector<Ledger::Uses> Ledger::counted(std::span<const std::int64_t> records) {
  std::vector<std::int64_t> sorted(records.begin(), records.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<Uses> uses;
  for (const std::int64_t r : sorted) {
    require(r >= 0 && r < kRecordLimit, Errc::kInvalidArgument, "a record index lies outside 0..2^28");
    if (!uses.empty() && uses.back().record == r) {
      ++uses.back().times;
    } else {
      uses.push_back({r, 1});
    }
  }
  return uses;
}

// "0-99,105,107-110x2": inclusive ranges, xN for N releases of each.
std::string Ledger::ranges(const std::vector<Uses>& uses) {
  std::string text;
  for (std::size_t i = 0; i < uses.size();) {
    std::size_t end = i + 1;
    while (end < uses.size() && uses[end].times == uses[i].times && uses[end].record == uses[end - 1].record + 1) {
      ++end;
    }
    if (!text.empty()) text += ',';
    text += std::to_string(uses[i].record);
    if (end - i > 1) text += '-' + std::to_string(uses[end - 1].record);
    if (uses[i].times > 1) text += 'x' + std::to_string(uses[i].times);
    i = end;
  }
  return text;
}

std::vector<Ledger::Uses> Ledger::from_ranges(std::string_view text) {
  std::vector<Uses> uses;
  std::int64_t next = 0;
  while (!text.empty()) {
    const std::int64_t first = number(text);
    const std::int64_t last = took(text, '-') ? number(text) : first;
    const std::int64_t times = took(text, 'x') ? number(text) : 1;
    require(first >= next && last >= first && times >= 1, Errc::kData, "record ranges are out of order");
    for (std::int64_t r = first; r <= last; ++r) uses.push_back({r, static_cast<std::uint32_t>(times)});
    next = last + 1;
    require(text.empty() || (took(text, ',') && !text.empty()), Errc::kData, "a record range has trailing characters");
  }
  return uses;
}

void Ledger::load() {
  const std::uint64_t size = store_->size_bytes();
  const Bytes content = store_->read(0, static_cast<std::size_t>(size));
  std::string_view rest(reinterpret_cast<const char*>(content.data()), content.size());
  std::uint64_t used = 0;
  for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    load_line(rest.substr(0, end));
    used += end + 1;
    rest.remove_prefix(end + 1);
  }
  if (used == size) return;
  store_->truncate(used);
  note_ = "the last line of the privacy ledger was torn (" + std::to_string(size - used) +
          " bytes of an unfinished charge) and has been cut; nothing of it had been sent";
}

void Ledger::load_line(std::string_view line) {
  try {
    const Json j = Json::parse(line);
    if (j.at("seq").get<std::uint64_t>() != next_sequence_ || !seal_intact(j)) damaged(next_sequence_);
    if (next_sequence_ == 0) {
      if (j.at("ledger").get<std::string>() != kFormat) damaged(0);
      require(j.at("owner").get<std::string>() == owner_, Errc::kData, "the privacy ledger belongs to another data owner");
      const bool bound = j.contains("source");
      check_source(bound ? j.at("source").get<std::string>() : "", bound ? j.at("numbering").get<std::string>() : "");
    } else {
      if (j.at("prev").get<std::string>() != to_hex(head_)) damaged(next_sequence_);
      const ReleaseKey key{j.at("edge").get<std::uint16_t>(), j.at("step").get<std::uint64_t>(),
                           j.at("micro_batch").get<std::uint32_t>(), j.at("purpose").get<std::uint32_t>()};
      apply(from_ranges(j.at("records").get_ref<const std::string&>()), event_from_text(j.at("event").get<std::string>()));
      charged_[j.at("run").get<std::string>()].insert(key);
    }
  } catch (const Json::exception&) {
    damaged(next_sequence_);
  }
  head_ = blake2b(as_bytes(line));
  ++next_sequence_;
}

void Ledger::write_line(const std::string& line) {
  store_->append(as_bytes(line + '\n'));
  head_ = blake2b(as_bytes(line));
  ++next_sequence_;
}

double Ledger::spent(std::size_t record) const {
  double sum = 0;
  for (std::size_t e = 0; e < events_.size(); ++e) {
    if (record < counts_[e].size() && counts_[e][record] > 0) sum += counts_[e][record] * mu_squared(events_[e]);
  }
  return sum;
}

double Ledger::worst_after(const std::vector<Uses>& uses, const DpEvent& event) const {
  double worst = 0;
  for (const Uses& u : uses) {
    worst = std::max(worst, spent(static_cast<std::size_t>(u.record)) + u.times * mu_squared(event));
  }
  return worst;
}

void Ledger::check(const std::vector<Uses>& uses, const DpEvent& event) const {
  require(!readable_only_, Errc::kInvalidArgument,
          "this privacy ledger is bound to a data file: opened without it, it can be read but not charged");
  if (const auto* g = std::get_if<GaussianEvent>(&event)) {
    require(std::isfinite(g->noise_multiplier) && g->noise_multiplier > 0, Errc::kInvalidArgument,
            "noise_multiplier must be a positive number");
  }
  if (uses.empty() || std::isinf(budget_.epsilon)) return;
  const double worst = worst_after(uses, event);
  if (std::isfinite(worst) && gaussian_delta(1.0, worst, budget_.epsilon) <= budget_.delta) return;
  char budget[64];
  std::snprintf(budget, sizeof budget, "(%.6g, %.3g)", budget_.epsilon, budget_.delta);
  throw Error(Errc::kPrivacyBudget, "the privacy budget " + std::string(budget) + " of " + owner_ +
                                        " does not allow this release: nothing was drawn or sent");
}

void Ledger::check(std::span<const std::int64_t> records, const DpEvent& event) const { check(counted(records), event); }

void Ledger::apply(const std::vector<Uses>& uses, const DpEvent& event) {
  const auto known = std::find(events_.begin(), events_.end(), event);
  const auto e = static_cast<std::size_t>(known - events_.begin());
  if (known == events_.end()) {
    events_.push_back(event);
    counts_.emplace_back();
  }
  if (uses.empty()) return;
  const auto size = static_cast<std::size_t>(uses.back().record) + 1;
  if (counts_[e].size() < size) counts_[e].resize(size);
  for (const Uses& u : uses) counts_[e][static_cast<std::size_t>(u.record)] += u.times;
}

void Ledger::charge(const std::string& run, const ReleaseKey& key, std::span<const std::int64_t> records, const DpEvent& event) {
  require(!charged(run, key), Errc::kInternal, "a release was charged twice");
  const std::vector<Uses> uses = counted(records);
  check(uses, event);
  write_line(sealed({{"seq", next_sequence_},
                     {"prev", to_hex(head_)},
                     {"run", run},
                     {"edge", key.edge},
                     {"step", key.step},
                     {"micro_batch", key.micro_batch},
                     {"purpose", key.purpose},
                     {"event", text(event)},
                     {"records", ranges(uses)}}));
  apply(uses, event);
  charged_[run].insert(key);
}

bool Ledger::charged(const std::string& run, const ReleaseKey& key) const {
  const auto found = charged_.find(run);
  return found != charged_.end() && found->second.contains(key);
}

std::uint64_t Ledger::releases(std::int64_t record) const {
  std::uint64_t sum = 0;
  for (const auto& counts : counts_) {
    if (record >= 0 && static_cast<std::size_t>(record) < counts.size()) sum += counts[static_cast<std::size_t>(record)];
  }
  return sum;
}

std::uint64_t Ledger::most_releases() const {
  std::size_t size = 0;
  for (const auto& counts : counts_) size = std::max(size, counts.size());
  std::uint64_t most = 0;
  for (std::size_t r = 0; r < size; ++r) most = std::max(most, releases(static_cast<std::int64_t>(r)));
  return most;
}

double Ledger::total(double delta) const {
  std::size_t size = 0;
  for (const auto& counts : counts_) size = std::max(size, counts.size());
  double worst = 0;
  for (std::size_t r = 0; r < size; ++r) worst = std::max(worst, spent(r));
  return epsilon_at(worst, delta);
}

double Ledger::total() const { return total(budget_.delta); }

}  // namespace sutura
