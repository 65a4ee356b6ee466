#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/trust/roster.h"
#include "runtime/trust/sealed.h"
#include "transport/channel.h"

namespace sutura {

// Record linkage before a vertical study, for two or more parties (docs/alignment.md: messages, what each party learns, the
// model). The members stand in a ring. Each blinds its own identifiers in a secret order and sends them round; each next member
// adds its own blinding; the last sends the set to the server, which compares the sets that all have blinded and tells each
// member which places of its own order are common. What goes from member to member is sealed; the server passes it on unread.
// A server that holds data is a member like the others: it runs align_as_party() on a thread of its own, joined to the relay by
// make_channel_pair().

/// Largest tensor frame of an alignment, descriptor included: LinkSettings::max_frame_bytes must be at least this.
inline constexpr std::size_t kAlignmentFrameBytes = std::size_t{320} * 1024;
/// More records at one party are refused, before memory is taken for them.
inline constexpr std::int64_t kMaxAlignedRecords = std::int64_t{1} << 24;

/// What everybody agrees on, and how this process does its part.
struct AlignmentTerms {
  std::uint64_t run = 0;             ///< of the session: messages of another run do not open
  std::uint64_t seed = 0;            ///< of the study: decides the order of positions
  std::vector<std::string> members;  ///< in ring order, the same everywhere; at least two
  /// Longest wait of the server for one message; members wait twice as long, so that the server can say who is missing.
  std::chrono::milliseconds patience{60000};
  int threads = 2;
  std::function<void(std::int64_t done, std::int64_t total)> progress;  ///< points, after each chunk; may be empty
};

struct Alignment {
  std::vector<std::int64_t> rows_by_position;  ///< position -> own row; the record is the same at every member
  std::vector<std::int64_t> sizes;             ///< records of each member, in ring order
};

struct AlignmentSizes {
  std::vector<std::int64_t> records;  ///< of each member, in ring order
  std::int64_t common = 0;
};

/// One member's part. `roster` holds the other members' keys (the server's too if it is a member).
/// Errors: kData for duplicate or empty identifiers (by record number) and if no record is common to all; kAuthentication for a
/// member without a key or a message that does not open; kProtocol for points or counts that cannot be, or if the members do
/// not end with the same records; kNetwork, kInterrupted. The server is told; it tells the others.
Alignment align_as_party(const std::vector<std::string>& identifiers, const std::string& self, Channel& server,
                         const Identity& identity, const Roster& roster, const AlignmentTerms& terms);

/// The server's part; returns when all members are done. It sees sealed messages and sets blinded by all.
/// Errors: kNetwork naming the member that is gone or silent; what a member refused, naming it; kProtocol; kData if no record is
/// common to all. All members are told the reason before it is thrown.
AlignmentSizes relay_alignment(const AlignmentTerms& terms, const std::function<Channel&(const std::string&)>& channel_of);

/// After an alignment: the member that decides the splits tells the others, sealed, one byte per position.
/// Errors: as align_as_party.
void send_split(std::span<const std::uint8_t> split_of_position, const std::string& self, Channel& server,
                const Identity& identity, const Roster& roster, const AlignmentTerms& terms);
/// At every other member. Errors: as align_as_party.
std::vector<std::uint8_t> receive_split(const std::string& from, std::int64_t positions, const std::string& self, Channel& server,
                                        const Identity& identity, const Roster& roster, const AlignmentTerms& terms);
/// The server's part: passes on what it cannot read. Errors: as relay_alignment.
void relay_split(const std::string& from, std::int64_t positions, const AlignmentTerms& terms,
                 const std::function<Channel&(const std::string&)>& channel_of);

}  // namespace sutura
