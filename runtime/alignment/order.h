#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/bytes.h"
#include "core/random/chacha20.h"

namespace sutura {

/// Errors: kData for no identifier, an empty one, or one that stands twice, naming records by number (from 1), never the text.
void require_distinct(const std::vector<std::string>& identifiers);

/// Uniform permutation of 0..n-1 from the ChaCha20 keystream of `key` (Fisher-Yates, no modulo bias). With a fresh key nobody
/// can undo it; with a derived one every party finds the same. Errors: kInvalidArgument for a negative n.
std::vector<std::int64_t> keyed_permutation(std::int64_t n, const ChaChaKey& key);

/// Where the common records stand during training.
struct CommonOrder {
  std::vector<std::int64_t> rows_by_position;  ///< position -> this party's own row
  Digest check{};  ///< the same at parties with the same common records and seed; only ever sent sealed: it could test guesses
};

/// The order that all parties find without a message: common identifiers sorted bytewise, then permuted with a key that is
/// BLAKE2b of the seed and all common identifiers. A pure function of these: runs repeat bit for bit, whatever order the files
/// have. Who does not know the whole common set cannot tell which position is whose.
/// `common`: row numbers in `identifiers`, in any order, each once. Errors: kInvalidArgument for a row out of range.
CommonOrder order_common(const std::vector<std::string>& identifiers, std::span<const std::int64_t> common, std::uint64_t seed);

}  // namespace sutura
