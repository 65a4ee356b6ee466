#include <numeric>
#include <utility>

#include "core/error.h"
#include "runtime/alignment/protocol.h"
#include "runtime/alignment/psi.h"
#include "runtime/alignment/ring.h"

namespace sutura {
namespace {

/// The server's lines to all members, in ring order.
struct Hub {
  Ring ring;
  std::vector<Line> lines;

  Hub(const AlignmentTerms& terms, const std::function<Channel&(const std::string&)>& channel_of) : ring(terms.members) {
    for (const std::string& m : terms.members) lines.emplace_back(channel_of(m), "site '" + m + "'", terms.patience);
  }
};

/// Runs the server's part; if it fails, every member is told why.
template <class Work>
auto tell_all_on_failure(Hub& hub, const Work& work) {
  try {
    return work();
  } catch (const Error& e) {
    for (Line& line : hub.lines) line.refuse(e);
    throw;
  }
}

std::vector<std::int64_t> gather_sizes(Hub& hub) {
  std::vector<std::int64_t> sizes;
  for (Line& line : hub.lines) {
    sizes.push_back(load_le<std::int64_t>(line.receive(tag_of(RingMessage::kSize), sizeof(std::int64_t)), 0));
    if (sizes.back() < 1 || sizes.back() > kMaxAlignedRecords)
      throw Error(Errc::kProtocol, "alignment: " + line.peer() + " says an impossible number of records");
  }
  for (Line& line : hub.lines) line.send(tag_of(RingMessage::kSizes), as_bytes(sizes));
  return sizes;
}

class Relay {
 public:
  Relay(Hub& hub, const AlignmentTerms& terms, const std::vector<std::int64_t>& sizes)
      : hub_(hub),
        terms_(terms),
        sizes_(sizes),
        total_(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0}) * static_cast<std::int64_t>(sizes.size())) {}

  /// Passes sealed chunks from each member to the next, until every set has all blindings but the last.
  void pass_around() {
    for (std::size_t round = 0; round + 1 < hub_.ring.size(); ++round)
      in_step(round, RingMessage::kHop, sealed_overhead(1), [&](const Tag& tag, std::vector<Bytes> chunk_of) {
        for (std::size_t m = 0; m < chunk_of.size(); ++m)
          if (!chunk_of[m].empty()) hub_.lines[hub_.ring.next(m)].send(tag, chunk_of[m]);
      });
  }

  /// The sets that all members have blinded, by the member whose set it is, in that member's secret order.
  std::vector<std::vector<Point>> take_blinded() {
    const std::size_t last = hub_.ring.size() - 1;
    std::vector<std::vector<Point>> sets(hub_.ring.size());
    in_step(last, RingMessage::kBlinded, 0, [&](const Tag&, const std::vector<Bytes>& chunk_of) {
      for (std::size_t m = 0; m < chunk_of.size(); ++m) {
        std::vector<Point>& set = sets[hub_.ring.origin(m, last)];
        const std::size_t before = set.size();
        set.resize(before + chunk_of[m].size() / kPointBytes);
        std::ranges::copy(chunk_of[m], std::as_writable_bytes(std::span(set).subspan(before)).begin());
      }
    });
    for (std::size_t m = 0; m < hub_.ring.size(); ++m) {
      try {
        require_set(sets[hub_.ring.origin(m, last)], terms_.threads);
      } catch (Error& e) {
        throw std::move(e).in(hub_.lines[m].peer());
      }
    }
    return sets;
  }

 private:
  /// Chunk by chunk: takes one from every member that has one in this round (empty: none), then calls deal.
  template <class Deal>
  void in_step(std::size_t round, RingMessage purpose, std::size_t overhead, const Deal& deal) {
    const auto chunks = [&](std::size_t m) { return chunks_of_points(sizes_[hub_.ring.origin(m, round)]); };
    std::int64_t most = 0;
    for (std::size_t m = 0; m < hub_.ring.size(); ++m) most = std::max(most, chunks(m).count());
    for (std::int64_t c = 0; c < most; ++c) {
      const Tag tag = tag_of(purpose, purpose == RingMessage::kHop ? round : 0, c);
      std::vector<Bytes> chunk_of(hub_.ring.size());
      for (std::size_t m = 0; m < hub_.ring.size(); ++m) {
        if (c >= chunks(m).count()) continue;
        const std::int64_t points = chunks(m).length(c);
        chunk_of[m] = hub_.lines[m].receive(tag, static_cast<std::size_t>(points) * kPointBytes + overhead);
        done_ += points;
      }
      deal(tag, std::move(chunk_of));
      if (terms_.progress) terms_.progress(done_, total_);
    }
  }

  Hub& hub_;
  const AlignmentTerms& terms_;
  const std::vector<std::int64_t>& sizes_;
  std::int64_t done_ = 0;
  std::int64_t total_;
};

void tell_common(Hub& hub, const std::vector<std::vector<std::uint8_t>>& masks) {
  for (std::size_t m = 0; m < masks.size(); ++m) {
    const auto chunks = chunks_of_positions(std::ssize(masks[m]));
    for (std::int64_t c = 0; c < chunks.count(); ++c)
      hub.lines[m].send(tag_of(RingMessage::kCommon, 0, c), as_bytes(masks[m]).subspan(static_cast<std::size_t>(chunks.begin(c)),
                                                                                   static_cast<std::size_t>(chunks.length(c))));
  }
}

void pass_checks(Hub& hub) {
  const Tag tag = tag_of(RingMessage::kCheck);
  std::vector<Bytes> checks;
  for (Line& line : hub.lines) checks.push_back(line.receive(tag, sizeof(Digest) + sealed_overhead(1)));
  for (std::size_t m = 0; m < checks.size(); ++m) hub.lines[hub.ring.next(m)].send(tag, checks[m]);
  const Tag done = tag_of(RingMessage::kDone);
  for (Line& line : hub.lines) static_cast<void>(line.receive(done, 1));
  for (Line& line : hub.lines) line.send(done, Bytes(1));
}

}  // namespace

AlignmentSizes relay_alignment(const AlignmentTerms& terms, const std::function<Channel&(const std::string&)>& channel_of) {
  Hub hub(terms, channel_of);
  return tell_all_on_failure(hub, [&] {
    AlignmentSizes result{gather_sizes(hub), 0};
    Relay relay(hub, terms, result.records);
    relay.pass_around();
    const auto masks = common_to_all(relay.take_blinded());
    result.common = std::ranges::count(masks[0], std::uint8_t{1});
    if (result.common == 0)
      throw Error(Errc::kData, "alignment: no records in common: no identifier stands in the tables of all " +
                                   std::to_string(masks.size()) + " members");
    tell_common(hub, masks);
    pass_checks(hub);
    return result;
  });
}

void relay_split(const std::string& from, std::int64_t positions, const AlignmentTerms& terms,
                 const std::function<Channel&(const std::string&)>& channel_of) {
  Hub hub(terms, channel_of);
  tell_all_on_failure(hub, [&] {
    const std::size_t sender = hub.ring.index(from);
    const auto chunks = chunks_of_positions(positions);
    for (std::int64_t c = 0; c < chunks.count(); ++c) {
      const Tag tag = tag_of(RingMessage::kSplit, 0, c);
      const Bytes sealed =
          hub.lines[sender].receive(tag, static_cast<std::size_t>(chunks.length(c)) + sealed_overhead(hub.ring.size() - 1));
      for (std::size_t m = 0; m < hub.lines.size(); ++m)
        if (m != sender) hub.lines[m].send(tag, sealed);
    }
  });
}

}  // namespace sutura
