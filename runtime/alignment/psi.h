#pragma once
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.h"

namespace sutura {

// The mathematics of private set intersection by commuting blinding (Meadows 1986; Huberman, Franklin and Hogg 1999) in the
// group ristretto255 (RFC 9496, libsodium): H(x) to the secrets of all parties is the same whoever multiplies first, and says
// nothing of x to whoever lacks one of the secrets (decisional Diffie-Hellman). A plain or salted hash of an identifier is not
// this: whoever can list the identifiers can undo it.

/// Canonical encoding of a group element.
using Point = std::array<std::byte, 32>;

/// A party's secret exponent: guarded memory, wiped when it goes. Fresh for every alignment, so that two runs cannot be linked.
class Scalar {
 public:
  /// Uniform and not zero, from the system's random source. Errors: kInternal, kResources without locked memory.
  static Scalar fresh();
  /// For tests with known answers. Errors: kInvalidArgument unless 32 bytes of a reduced scalar that is not zero.
  explicit Scalar(ByteSpan bytes);
  const unsigned char* data() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(unsigned char* memory) const;
  };
  Scalar();
  std::unique_ptr<unsigned char, Free> memory_;
};

/// H(x): the group element of SHA-512("sutura alignment v1" || u64 length || identifier), by RFC 9496 section 4.3.4.
Point hash_to_group(std::string_view identifier);

/// Multiplies every point by the secret, in place and in order, on up to `threads` threads (about 60 us a point).
/// Errors: kProtocol with the place (from 0) of the first point that is no canonical encoding, or the identity; kInternal.
void blind(std::span<Point> points, const Scalar& secret, int threads);
/// H(x) to the secret, for every identifier. Shapes: out as long as identifiers.
void hash_and_blind(std::span<const std::string_view> identifiers, std::span<Point> out, const Scalar& secret, int threads);
/// Errors: kProtocol with the place (from 0) of the first point that is no canonical encoding, or the identity; kProtocol if a
/// point stands twice.
void require_set(std::span<const Point> points, int threads);

/// Which points of each set are in all sets: one byte per point, 1 or 0, in the order of the set.
std::vector<std::vector<std::uint8_t>> common_to_all(std::span<const std::vector<Point>> sets);

}  // namespace sutura
