#pragma once
#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "runtime/alignment/protocol.h"
#include "transport/message.h"

namespace sutura {

// What the parts of an alignment share: who stands where, which tag a message has, how bytes are sent and waited for.

inline constexpr std::int64_t kPointsPerChunk = 8192;
inline constexpr std::int64_t kPositionsPerChunk = 128 * 1024;
inline constexpr std::size_t kPointBytes = 32;

/// What a message of an alignment carries; in a tag the edge is kAlignmentEdge + that. A plan's edges and its weights (0x8000 and up) stay clear.
enum class RingMessage : std::uint16_t {
  kSize = 0,
  kSizes = 1,
  kHop = 2,
  kBlinded = 3,
  kCommon = 4,
  kCheck = 5,
  kDone = 6,
  kSplit = 7
};
inline constexpr std::uint16_t kAlignmentEdge = 0x7ff0;

Tag tag_of(RingMessage purpose, std::size_t round = 0, std::int64_t chunk = 0);

/// The ring as one member sees it. Round r of a member is the set of the member r places before it.
class Ring {
 public:
  /// Errors: kInvalidArgument unless at least two different names.
  explicit Ring(const std::vector<std::string>& members);
  std::size_t size() const { return members_.size(); }
  const std::string& name(std::size_t member) const { return members_[member]; }
  /// Errors: kInvalidArgument if `name` is no member.
  std::size_t index(std::string_view name) const;
  std::size_t next(std::size_t member) const { return (member + 1) % size(); }
  std::size_t previous(std::size_t member) const { return (member + size() - 1) % size(); }
  std::size_t origin(std::size_t member, std::size_t round) const { return (member + size() - round) % size(); }

 private:
  std::vector<std::string> members_;
};

/// A large list in parts.
struct Chunks {
  std::int64_t total;
  std::int64_t per_chunk;
  std::int64_t count() const { return (total + per_chunk - 1) / per_chunk; }
  std::int64_t begin(std::int64_t chunk) const { return chunk * per_chunk; }
  std::int64_t length(std::int64_t chunk) const { return std::min(per_chunk, total - begin(chunk)); }
};
inline Chunks chunks_of_points(std::int64_t points) { return {points, kPointsPerChunk}; }
inline Chunks chunks_of_positions(std::int64_t positions) { return {positions, kPositionsPerChunk}; }

/// What a sealed message is bound to, besides its sender and recipients.
Bytes seal_header(const AlignmentTerms& terms, const Ring& ring, const Tag& tag, std::size_t sender);

/// One end of a conversation; `peer` names it in errors ("the server", "site 'north'").
class Line {
 public:
  Line(Channel& channel, std::string peer, std::chrono::milliseconds patience)
      : channel_(channel), peer_(std::move(peer)), patience_(patience) {}
  const std::string& peer() const { return peer_; }
  /// Errors: kNetwork, kInterrupted, or what the peer refused, all naming the peer.
  void send(const Tag& tag, ByteSpan bytes);
  /// Exactly `length` bytes. Errors: as send; kProtocol for another shape.
  Bytes receive(const Tag& tag, std::size_t length);
  /// Tells the peer why this ends; best effort.
  void refuse(const Error& reason) noexcept;

 private:
  Channel& channel_;
  std::string peer_;
  std::chrono::milliseconds patience_;
};

}  // namespace sutura
