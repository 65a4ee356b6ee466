#include "runtime/alignment/order.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace sutura {
namespace {

constexpr std::string_view kOrderContext = "sutura alignment order v1";
constexpr std::string_view kCheckContext = "sutura alignment check v1";

/// The keystream as 64-bit words.
class Words {
 public:
  explicit Words(const ChaChaKey& key) : key_(key), block_(64 * kChaChaBlockBytes) {}
  ~Words() { wipe(block_); }
  Words(const Words&) = delete;
  Words& operator=(const Words&) = delete;
  std::uint64_t below(std::uint64_t n) {
    // Words at or above the largest multiple of n would favour small results.
    const std::uint64_t surplus = (0 - n) % n;
    while (true) {
      const std::uint64_t word = next();
      if (word >= surplus) return word % n;
    }
  }

 private:
  std::uint64_t next() {
    if (used_ == block_.size()) {
      chacha20_keystream(key_, {}, counter_, block_);
      counter_ += 64;
      used_ = 0;
    }
    used_ += 8;
    return load_le<std::uint64_t>(block_, used_ - 8);
  }

  const ChaChaKey& key_;
  Bytes block_;
  std::size_t used_ = 64 * kChaChaBlockBytes;
  std::uint32_t counter_ = 0;
};

void append_u64(Bytes& out, std::uint64_t value) {
  out.resize(out.size() + 8);
  store_le(out, out.size() - 8, value);
}

}  // namespace

void require_distinct(const std::vector<std::string>& identifiers) {
  require(!identifiers.empty(), Errc::kData, "there is no record to align");
  std::vector<std::size_t> sorted(identifiers.size());
  std::iota(sorted.begin(), sorted.end(), std::size_t{0});
  std::ranges::stable_sort(sorted, {}, [&](std::size_t i) -> const std::string& { return identifiers[i]; });
  if (identifiers[sorted[0]].empty())
    throw Error(Errc::kData, "record " + std::to_string(sorted[0] + 1) + " has an empty identifier");
  for (std::size_t i = 1; i < sorted.size(); ++i)
    if (identifiers[sorted[i - 1]] == identifiers[sorted[i]])
      throw Error(Errc::kData, "records " + std::to_string(sorted[i - 1] + 1) + " and " + std::to_string(sorted[i] + 1) +
                                   " have the same identifier: each record needs its own");
}

std::vector<std::int64_t> keyed_permutation(std::int64_t n, const ChaChaKey& key) {
  require(n >= 0, Errc::kInvalidArgument, "a permutation has no negative length");
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  Words words(key);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[words.below(i)]);
  return order;
}

CommonOrder order_common(const std::vector<std::string>& identifiers, std::span<const std::int64_t> common, std::uint64_t seed) {
  std::vector<std::int64_t> sorted(common.begin(), common.end());
  for (const std::int64_t row : sorted)
    require(row >= 0 && row < std::ssize(identifiers), Errc::kInvalidArgument, "a common record has a row number out of range");
  const auto identifier = [&](std::int64_t row) -> const std::string& { return identifiers[static_cast<std::size_t>(row)]; };
  std::ranges::sort(sorted, {}, identifier);  // std::string compares bytes as unsigned

  Bytes all;
  append_u64(all, seed);
  append_u64(all, sorted.size());
  for (const std::int64_t row : sorted) {
    const ByteSpan bytes = as_bytes(identifier(row));
    append_u64(all, bytes.size());
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  const Digest order_key = blake2b_keyed(as_bytes(kOrderContext), all);
  CommonOrder result{{}, blake2b_keyed(as_bytes(kCheckContext), all)};
  for (const std::int64_t place : keyed_permutation(std::ssize(sorted), ChaChaKey(order_key)))
    result.rows_by_position.push_back(sorted[static_cast<std::size_t>(place)]);
  wipe(all);
  return result;
}

}  // namespace sutura
