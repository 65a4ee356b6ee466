#include <numeric>
#include <utility>

#include "core/error.h"
#include "runtime/alignment/order.h"
#include "runtime/alignment/protocol.h"
#include "runtime/alignment/psi.h"
#include "runtime/alignment/ring.h"

namespace sutura {
namespace {

/// A member among the others: what every message needs.
struct Seat {
  const AlignmentTerms& terms;
  const Identity& identity;
  const Roster& roster;
  Ring ring;
  std::size_t self;
  Line server;

  Seat(const AlignmentTerms& t, const std::string& name, Channel& channel, const Identity& i, const Roster& r)
      : terms(t), identity(i), roster(r), ring(t.members), self(ring.index(name)), server(channel, "the server", 2 * t.patience) {
    static_cast<void>(keys_of_others(roster, terms.members, name));  // a missing key is found before anything is sent
  }
  void send_to_next(const Tag& tag, ByteSpan plain) {
    const PublicKey next = key_of(roster, ring.name(ring.next(self)));
    server.send(tag, seal(plain, seal_header(terms, ring, tag, self), identity, std::span(&next, 1)));
  }
  Bytes receive_from_previous(const Tag& tag, std::size_t plain_bytes) {
    const std::size_t sender = ring.previous(self);
    return opened(server.receive(tag, plain_bytes + sealed_overhead(1)), tag, sender);
  }
  Bytes opened(const Bytes& sealed, const Tag& tag, std::size_t sender) const {
    try {
      return open_sealed(sealed, seal_header(terms, ring, tag, sender), identity, key_of(roster, ring.name(sender)));
    } catch (Error& e) {
      throw std::move(e).in("from '" + ring.name(sender) + "'");
    }
  }
};

/// Runs one member's part and tells the server if it fails, so that nobody waits for the deadline.
template <class Work>
auto tell_on_failure(Line& server, const Work& work) {
  try {
    return work();
  } catch (const Error& e) {
    server.refuse(e);
    throw;
  }
}

std::vector<std::int64_t> exchange_sizes(Seat& seat, std::int64_t own) {
  Bytes mine(sizeof own);
  store_le(mine, 0, own);
  seat.server.send(tag_of(RingMessage::kSize), mine);
  const Bytes all = seat.server.receive(tag_of(RingMessage::kSizes), seat.ring.size() * sizeof own);
  std::vector<std::int64_t> sizes;
  for (std::size_t m = 0; m < seat.ring.size(); ++m) {
    sizes.push_back(load_le<std::int64_t>(all, m * sizeof own));
    require(sizes[m] >= 1 && sizes[m] <= kMaxAlignedRecords, Errc::kProtocol, "the server says an impossible number of records");
  }
  require(sizes[seat.self] == own, Errc::kProtocol, "the server changes this site's own number of records");
  return sizes;
}

/// Round after round: blinds the set in hand, sends it on, takes the next.
class RingWalk {
 public:
  /// Row order[i] of the own identifiers is point i of the own set.
  RingWalk(Seat& seat, const std::vector<std::string>& identifiers, std::span<const std::int64_t> order,
         const std::vector<std::int64_t>& sizes)
      : seat_(seat),
        identifiers_(identifiers),
        order_(order),
        sizes_(sizes),
        set_(order.size()),
        total_(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0})) {}

  void run() {
    for (std::size_t round = 0; round < seat_.ring.size(); ++round) {
      const bool last = round + 1 == seat_.ring.size();
      const auto out = chunks_of_points(std::ssize(set_));
      const auto in = chunks_of_points(last ? 0 : sizes_[seat_.ring.origin(seat_.self, round + 1)]);
      std::vector<Point> next(static_cast<std::size_t>(in.total));
      // Everybody sends chunk c before taking chunk c: the server never waits for somebody who waits for it.
      for (std::int64_t c = 0; c < std::max(out.count(), in.count()); ++c) {
        if (c < out.count()) send(round, c, part(set_, out, c));
        if (c < in.count()) take(round, c, part(next, in, c));
      }
      set_ = std::move(next);
    }
  }

 private:
  static std::span<Point> part(std::vector<Point>& set, const Chunks& chunks, std::int64_t c) {
    return std::span(set).subspan(static_cast<std::size_t>(chunks.begin(c)), static_cast<std::size_t>(chunks.length(c)));
  }

  void send(std::size_t round, std::int64_t c, std::span<Point> points) {
    if (round == 0) {
      std::vector<std::string_view> names;
      for (const std::int64_t row : order_.subspan(static_cast<std::size_t>(c * kPointsPerChunk), points.size()))
        names.push_back(identifiers_[static_cast<std::size_t>(row)]);
      hash_and_blind(names, points, secret_, seat_.terms.threads);
    } else {
      try {
        blind(points, secret_, seat_.terms.threads);
      } catch (Error& e) {
        throw std::move(e).in("from '" + seat_.ring.name(seat_.ring.previous(seat_.self)) + "'");
      }
    }
    if (round + 1 < seat_.ring.size())
      seat_.send_to_next(tag_of(RingMessage::kHop, round, c), std::as_bytes(points));
    else
      seat_.server.send(tag_of(RingMessage::kBlinded, 0, c), std::as_bytes(points));
    done_ += std::ssize(points);
    if (seat_.terms.progress) seat_.terms.progress(done_, total_);
  }

  void take(std::size_t round, std::int64_t c, std::span<Point> points) {
    const Bytes plain = seat_.receive_from_previous(tag_of(RingMessage::kHop, round, c), points.size_bytes());
    std::ranges::copy(plain, std::as_writable_bytes(points).begin());
  }

  Seat& seat_;
  const std::vector<std::string>& identifiers_;
  std::span<const std::int64_t> order_;
  const std::vector<std::int64_t>& sizes_;
  std::vector<Point> set_;
  Scalar secret_ = Scalar::fresh();
  std::int64_t done_ = 0;
  std::int64_t total_;
};

/// The own rows that the server says are common.
std::vector<std::int64_t> common_rows(Seat& seat, std::span<const std::int64_t> order) {
  std::vector<std::int64_t> rows;
  const auto chunks = chunks_of_positions(std::ssize(order));
  for (std::int64_t c = 0; c < chunks.count(); ++c) {
    const Bytes mask = seat.server.receive(tag_of(RingMessage::kCommon, 0, c), static_cast<std::size_t>(chunks.length(c)));
    for (std::size_t i = 0; i < mask.size(); ++i) {
      require(mask[i] <= std::byte{1}, Errc::kProtocol, "the server marks common records with another value than 0 or 1");
      if (mask[i] == std::byte{1}) rows.push_back(order[static_cast<std::size_t>(chunks.begin(c)) + i]);
    }
  }
  require(!rows.empty(), Errc::kProtocol, "the server marks no record as common");
  return rows;
}

/// Training on rows that do not belong together would look like bad data: the digest makes it an error. It goes sealed from
/// each member to the next, never to the server, who could test guesses of the identifiers with it.
void check_agreement(Seat& seat, const Digest& check) {
  const Tag tag = tag_of(RingMessage::kCheck);
  seat.send_to_next(tag, check);
  const Bytes other = seat.receive_from_previous(tag, check.size());
  require(std::ranges::equal(other, check), Errc::kProtocol, "the members of the alignment found different common records");
}

}  // namespace

Alignment align_as_party(const std::vector<std::string>& identifiers, const std::string& self, Channel& server,
                         const Identity& identity, const Roster& roster, const AlignmentTerms& terms) {
  Line line(server, "the server", terms.patience);
  return tell_on_failure(line, [&] {
    require_distinct(identifiers);
    require(std::ssize(identifiers) <= kMaxAlignedRecords, Errc::kData, "too many records to align");
    Seat seat(terms, self, server, identity, roster);
    Alignment result;
    result.sizes = exchange_sizes(seat, std::ssize(identifiers));
    // A fresh secret order: the server answers by place, and a place must not say which row of the file it is.
    const auto order = keyed_permutation(std::ssize(identifiers), ChaChaKey::fresh());
    RingWalk(seat, identifiers, order, result.sizes).run();
    CommonOrder common = order_common(identifiers, common_rows(seat, order), terms.seed);
    check_agreement(seat, common.check);
    // Nobody goes on before everybody's check has held.
    seat.server.send(tag_of(RingMessage::kDone), Bytes(1));
    static_cast<void>(seat.server.receive(tag_of(RingMessage::kDone), 1));
    result.rows_by_position = std::move(common.rows_by_position);
    return result;
  });
}

void send_split(std::span<const std::uint8_t> split_of_position, const std::string& self, Channel& server,
                const Identity& identity, const Roster& roster, const AlignmentTerms& terms) {
  Line line(server, "the server", terms.patience);
  tell_on_failure(line, [&] {
    Seat seat(terms, self, server, identity, roster);
    const std::vector<PublicKey> others = keys_of_others(roster, terms.members, self);
    const auto chunks = chunks_of_positions(std::ssize(split_of_position));
    for (std::int64_t c = 0; c < chunks.count(); ++c) {
      const Tag tag = tag_of(RingMessage::kSplit, 0, c);
      const auto part = std::as_bytes(
          split_of_position.subspan(static_cast<std::size_t>(chunks.begin(c)), static_cast<std::size_t>(chunks.length(c))));
      seat.server.send(tag, seal(part, seal_header(terms, seat.ring, tag, seat.self), identity, others));
    }
  });
}

std::vector<std::uint8_t> receive_split(const std::string& from, std::int64_t positions, const std::string& self, Channel& server,
                                        const Identity& identity, const Roster& roster, const AlignmentTerms& terms) {
  Line line(server, "the server", terms.patience);
  return tell_on_failure(line, [&] {
    Seat seat(terms, self, server, identity, roster);
    const std::size_t sender = seat.ring.index(from);
    std::vector<std::uint8_t> splits;
    const auto chunks = chunks_of_positions(positions);
    for (std::int64_t c = 0; c < chunks.count(); ++c) {
      const Tag tag = tag_of(RingMessage::kSplit, 0, c);
      const std::size_t sealed_bytes = static_cast<std::size_t>(chunks.length(c)) + sealed_overhead(seat.ring.size() - 1);
      for (const std::byte b : seat.opened(seat.server.receive(tag, sealed_bytes), tag, sender))
        splits.push_back(std::to_integer<std::uint8_t>(b));
    }
    return splits;
  });
}

}  // namespace sutura
