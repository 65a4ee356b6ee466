#include "runtime/alignment/ring.h"

#include <limits>
#include <set>
#include <utility>

#include "core/error.h"
#include "transport/codec.h"
#include "transport/control.h"

namespace sutura {
namespace {

constexpr std::string_view kSealContext = "sutura alignment message v1";

[[noreturn]] void lost(Outcome outcome, const std::string& peer) {
  switch (outcome) {
    case Outcome::kStopped: throw Error(Errc::kInterrupted, "alignment: stopped while " + peer + " was awaited");
    case Outcome::kTimeout: throw Error(Errc::kNetwork, "alignment: " + peer + " has not answered in time");
    default: throw Error(Errc::kNetwork, "alignment: " + peer + " is gone");
  }
}

}  // namespace

Tag tag_of(RingMessage purpose, std::size_t round, std::int64_t chunk) {
  return {static_cast<std::uint16_t>(kAlignmentEdge + static_cast<std::uint16_t>(purpose)), Leg::kForward,
          static_cast<std::uint64_t>(chunk), static_cast<std::uint16_t>(round)};
}

Ring::Ring(const std::vector<std::string>& members) : members_(members) {
  require(members.size() >= 2, Errc::kInvalidArgument, "an alignment has at least two members");
  require(members.size() <= std::numeric_limits<std::uint16_t>::max(), Errc::kInvalidArgument, "too many members align");
  require(std::set<std::string>(members.begin(), members.end()).size() == members.size(), Errc::kInvalidArgument,
          "a member of the alignment is named twice");
}

std::size_t Ring::index(std::string_view name) const {
  const auto found = std::ranges::find(members_, name);
  if (found == members_.end())
    throw Error(Errc::kInvalidArgument, "'" + std::string(name) + "' is not a member of the alignment");
  return static_cast<std::size_t>(found - members_.begin());
}

Bytes seal_header(const AlignmentTerms& terms, const Ring& ring, const Tag& tag, std::size_t sender) {
  Bytes header(as_bytes(kSealContext).begin(), as_bytes(kSealContext).end());
  const auto add = [&header](std::uint64_t value) {
    header.resize(header.size() + 8);
    store_le(header, header.size() - 8, value);
  };
  for (const std::uint64_t value : {terms.run, std::uint64_t{tag.edge}, std::uint64_t{tag.micro_batch}, tag.step,
                                    std::uint64_t{sender}, std::uint64_t{ring.size()}})
    add(value);
  for (std::size_t m = 0; m < ring.size(); ++m) {
    add(ring.name(m).size());
    const ByteSpan name = as_bytes(ring.name(m));
    header.insert(header.end(), name.begin(), name.end());
  }
  return header;
}

void Line::send(const Tag& tag, ByteSpan bytes) {
  Message m;
  m.tag = tag;
  m.tensors.push_back({DType::kUint8, Shape{std::ssize(bytes)}, Bytes(bytes.begin(), bytes.end())});
  Outcome outcome = Outcome::kOk;
  try {
    outcome = channel_.send(std::move(m), deadline_in(patience_));
  } catch (Error& e) {
    throw std::move(e).in(peer_);
  }
  if (outcome != Outcome::kOk) lost(outcome, peer_);
}

Bytes Line::receive(const Tag& tag, std::size_t length) {
  try {
    auto answer = channel_.receive(tag, deadline_in(patience_));
    if (const auto* outcome = std::get_if<Outcome>(&answer)) lost(*outcome, peer_);
    Message& m = std::get<Message>(answer);
    require(m.control.empty() && m.tensors.size() == 1, Errc::kProtocol, "an alignment message has another number of parts");
    expect(m.tensors[0], DType::kUint8, Shape{static_cast<std::int64_t>(length)});
    return std::move(m.tensors[0].data);
  } catch (Error& e) {
    if (e.code() == Errc::kNetwork || e.code() == Errc::kInterrupted) throw;
    throw std::move(e).in(peer_);
  }
}

void Line::refuse(const Error& reason) noexcept {
  try {
    (void)channel_.send(to_message(Reject{reason.code(), false, reason.what(), {}}), deadline_in(std::chrono::seconds(1)));
  } catch (...) {
    // The peer is gone or has refused us: the reason that is being told already ends the run.
  }
}

}  // namespace sutura
