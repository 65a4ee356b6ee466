#include "runtime/alignment/protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "runtime/alignment/psi.h"
#include "runtime/alignment/ring.h"
#include "tests/alignment/people.h"
#include "tests/alignment/room.h"

namespace sutura {
namespace {

using testing::HasSubstr;

/// The identifiers in the order of positions.
std::vector<std::string> in_order(const std::vector<std::string>& ids, const Alignment& alignment) {
  std::vector<std::string> out;
  for (const std::int64_t row : alignment.rows_by_position) out.push_back(ids[static_cast<std::size_t>(row)]);
  return out;
}

/// Everybody ended well, with the records of a plain intersection, in one order.
void expect_aligned(const Room& room, const std::vector<std::vector<std::string>>& ids, std::vector<std::string> common) {
  ASSERT_FALSE(room.error) << room.error->what();
  EXPECT_EQ(room.sizes.common, std::ssize(common));
  std::vector<std::string> first;
  for (std::size_t m = 0; m < ids.size(); ++m) {
    const Ending& e = room.endings.at(room.terms.members[m]);
    ASSERT_TRUE(e.alignment) << e.error->what();
    EXPECT_EQ(e.alignment->sizes, room.sizes.records);
    EXPECT_EQ(room.sizes.records[m], std::ssize(ids[m]));
    const auto order = in_order(ids[m], *e.alignment);
    if (m == 0) first = order;
    EXPECT_EQ(order, first) << "member " << m;
  }
  EXPECT_EQ(first == common, common.size() < 2) << "the order is the sorted one";
  std::ranges::sort(first);
  EXPECT_EQ(first, common);
}

TEST(Alignment, EqualsAPlainIntersection) {
  for (const std::size_t n : {2, 3, 5}) {
    Room room(n);
    const People people(n, 200, 80, 10 + n);
    room.run(people.identifiers);
    expect_aligned(room, people.identifiers, people.common());
  }
}

TEST(Alignment, UnequalSizesOverSeveralChunksAndASmallWindow) {
  Room room(3);
  std::vector<std::int64_t> progress;
  std::int64_t total = 0;
  std::vector<std::vector<std::string>> ids(3);
  const auto number = [](int i) { return std::to_string(i) + " of many"; };
  for (int i = 0; i < kPointsPerChunk + 1; ++i) ids[0].push_back(number(i));
  for (int i = 0; i < 40; ++i) ids[1].push_back(number(3 * i));
  for (int i = 0; i < 50; ++i) ids[2].push_back(number(2 * i));
  const auto align_with_progress = [&](const std::string& self, Channel& server) {
    AlignmentTerms terms = room.terms;
    terms.progress = [&](std::int64_t done, std::int64_t all) { progress.push_back(done), total = all; };
    return align_as_party(ids[2], self, server, room.identities.at(self), room.roster, terms);
  };
  room.run(ids, {{"site2", align_with_progress}}, {}, 1);
  std::vector<std::string> common;
  for (int i = 0; 3 * i < 100 && i < 40; i += 2) common.push_back(number(3 * i));
  std::ranges::sort(common);
  expect_aligned(room, ids, common);
  EXPECT_TRUE(std::ranges::is_sorted(progress));
  EXPECT_EQ(total, std::ssize(ids[0]) + std::ssize(ids[1]) + std::ssize(ids[2]));
  EXPECT_EQ(progress.back(), total);
  EXPECT_EQ(progress.size(), 4u) << "one call a chunk";
}

TEST(Alignment, FullOverlapAndOneRecord) {
  Room room(3);
  const People same(1, 50, 50, 1);
  std::vector<std::vector<std::string>> ids(3, same.identifiers[0]);
  std::ranges::reverse(ids[1]);
  room.run(ids);
  expect_aligned(room, ids, same.common());
  Room small(2);
  small.run({{"only"}, {"only"}});
  expect_aligned(small, {{"only"}, {"only"}}, {"only"});
}

TEST(Alignment, PositionsRepeatWithOtherKeysAndOtherFileOrder) {
  const People people(2, 100, 60, 3);
  std::vector<std::vector<std::string>> ids = people.identifiers;
  Room first(2), again(2), other_seed(2);
  first.run(ids);
  const auto order = in_order(ids[0], *first.endings.at("site0").alignment);
  std::ranges::reverse(ids[0]);
  again.run(ids);
  EXPECT_EQ(in_order(ids[0], *again.endings.at("site0").alignment), order);
  other_seed.terms.seed = 6;
  other_seed.run(ids);
  EXPECT_NE(in_order(ids[0], *other_seed.endings.at("site0").alignment), order);
}

TEST(Alignment, NoCommonRecordIsRefusedEverywhere) {
  // Three parties, each pair with common records, all three without.
  Room room(3);
  room.run({{"ab", "ca", "a"}, {"ab", "bc", "b"}, {"bc", "ca", "c"}});
  ASSERT_TRUE(room.error);
  EXPECT_EQ(room.error->code(), Errc::kData);
  EXPECT_THAT(room.error->what(), HasSubstr("no records in common"));
  for (const auto& [name, ending] : room.endings) {
    ASSERT_TRUE(ending.error) << name;
    EXPECT_EQ(ending.error->code(), Errc::kData);
    EXPECT_THAT(ending.error->what(), HasSubstr("no records in common"));
  }
}

TEST(Alignment, DuplicatesAreRefusedEverywhereWithoutTheIdentifier) {
  Room room(2);
  room.run({{"a", "secret-7", "secret-7"}, {"a", "b"}});
  ASSERT_TRUE(room.error);
  EXPECT_EQ(room.error->code(), Errc::kData);
  EXPECT_THAT(room.error->what(), HasSubstr("site 'site0'"));
  for (const auto& [name, ending] : room.endings) {
    ASSERT_TRUE(ending.error) << name;
    EXPECT_EQ(ending.error->code(), Errc::kData);
    EXPECT_THAT(ending.error->what(), HasSubstr("records 2 and 3 have the same identifier"));
    EXPECT_THAT(ending.error->what(), testing::Not(HasSubstr("secret-7")));
  }
}

TEST(Alignment, TheServerSeesNoIdentifierNoHashAndNoPointOfAnIdentifier) {
  Room room(3);
  const People people(3, 60, 30, 4);
  room.run(people.identifiers);
  expect_aligned(room, people.identifiers, people.common());
  std::string seen;
  for (const auto& [name, tap] : room.taps) seen += tap->bytes();
  ASSERT_GT(seen.size(), 3u * 3u * 60u * 32u);
  const auto contains = [&](ByteSpan needle) {
    return seen.find(std::string_view(reinterpret_cast<const char*>(needle.data()), needle.size())) != std::string::npos;
  };
  for (const auto& ids : people.identifiers) {
    for (const std::string& id : ids) {
      EXPECT_FALSE(contains(as_bytes(id)));
      EXPECT_FALSE(contains(ByteSpan(blake2b(as_bytes(id))).first(8)));
      EXPECT_FALSE(contains(ByteSpan(hash_to_group(id)).first(8)));
    }
  }
  // The control: what the server is meant to see is found.
  Bytes sizes(8);
  store_le(sizes, 0, std::int64_t{60});
  EXPECT_TRUE(contains(sizes));
  // What goes from member to member is other than the points that the server gets in the end: the messages before are sealed.
  for (const auto& [name, tap] : room.taps) EXPECT_LE(tap->largest() + kPointBytes, kAlignmentFrameBytes);
}

/// Changes the first message with this purpose that the server takes from a member.
Tapped::Change change(RingMessage purpose, std::function<void(Bytes&)> how) {
  return [=, done = false](Message& m) mutable {
    if (done || m.tag.edge != tag_of(purpose).edge) return;
    done = true;
    how(m.tensors[0].data);
    m.tensors[0].shape = Shape{std::ssize(m.tensors[0].data)};
  };
}

/// A run in which site1's message is changed on its way; everybody must end with an error.
void with_change(Room& room, RingMessage purpose, const std::function<void(Bytes&)>& how) {
  const People people(2, 40, 20, 5);
  room.run(people.identifiers, {}, {{"site1", change(purpose, how)}});
  ASSERT_TRUE(room.error);
  for (const auto& [name, ending] : room.endings) ASSERT_TRUE(ending.error) << name;
}

TEST(Alignment, WhatTheServerChangesDoesNotOpen) {
  for (const RingMessage purpose : {RingMessage::kHop, RingMessage::kCheck}) {
    Room room(2);
    ASSERT_NO_FATAL_FAILURE(with_change(room, purpose, [](Bytes& b) { b.back() ^= std::byte{1}; }));
    EXPECT_EQ(room.endings.at("site0").error->code(), Errc::kAuthentication);
    EXPECT_THAT(room.endings.at("site0").error->what(), HasSubstr("from 'site1'"));
  }
}

TEST(Alignment, BadPointsNameTheirSender) {
  const std::vector<std::function<void(Bytes&)>> bad{
      [](Bytes& b) { std::fill_n(b.begin() + 64, 32, std::byte{0}); },     // the identity
      [](Bytes& b) { std::fill_n(b.begin() + 64, 32, std::byte{0xff}); },  // not canonical
      [](Bytes& b) { std::copy_n(b.begin(), 32, b.begin() + 64); },        // a point twice
      [](Bytes& b) { b.resize(b.size() - 1); },                            // cut short
      [](Bytes& b) { b.resize(b.size() + 32); }};
  for (const auto& how : bad) {
    Room room(2);
    ASSERT_NO_FATAL_FAILURE(with_change(room, RingMessage::kBlinded, how));
    EXPECT_EQ(room.error->code(), Errc::kProtocol) << room.error->what();
    EXPECT_THAT(room.error->what(), HasSubstr("site"));
  }
  Room room(2);
  ASSERT_NO_FATAL_FAILURE(with_change(room, RingMessage::kSize, [](Bytes& b) { std::ranges::fill(b, std::byte{0xff}); }));
  EXPECT_THAT(room.error->what(), HasSubstr("site 'site1' says an impossible number of records"));
}

// A server that marks other records as common at one member: the parties find out, although it says the same number to both.
TEST(Alignment, DifferentCommonRecordsAreFound) {
  Room room(2);
  room.terms.patience = std::chrono::seconds(20);
  const People people(2, 40, 20, 6);
  ChannelPair zero = make_channel_pair(), one = make_channel_pair();
  std::optional<Error> errors[2];
  {
    std::vector<std::jthread> threads;
    for (std::size_t m = 0; m < 2; ++m)
      threads.emplace_back([&, m] {
        try {
          (void)room.align(people.identifiers[m], room.terms.members[m], m == 0 ? *zero.first : *one.first);
        } catch (const Error& e) {
          errors[m] = e;
        }
      });
    class Lying final : public Channel {
     public:
      explicit Lying(Channel& inner) : inner_(inner) {}
      [[nodiscard]] Outcome send(Message&& m, Deadline d) override {
        auto& mask = m.tensors.empty() ? m.control : m.tensors[0].data;
        if (m.tag.edge == tag_of(RingMessage::kCommon).edge)  // as many as before, one of them another
          std::swap(*std::ranges::find(mask, std::byte{1}), *std::ranges::find(mask, std::byte{0}));
        return inner_.send(std::move(m), d);
      }
      [[nodiscard]] std::variant<Message, Outcome> receive(const Tag& t, Deadline d) override { return inner_.receive(t, d); }

     private:
      Channel& inner_;
    } lying(*one.second);
    const auto channel_of = [&](const std::string& name) -> Channel& { return name == "site0" ? *zero.second : lying; };
    EXPECT_THROW((void)relay_alignment(room.terms, channel_of), Error);
  }
  for (const auto& e : errors) {
    ASSERT_TRUE(e);
    EXPECT_EQ(e->code(), Errc::kProtocol);
    EXPECT_THAT(e->what(), HasSubstr("different common records"));
  }
}

TEST(Alignment, AMemberThatVanishesIsNamed) {
  Room room(3);
  const People people(3, 30, 10, 7);
  const auto vanish = [](const std::string&, Channel& server) -> Alignment {
    Line line(server, "the server", std::chrono::seconds(20));
    Bytes size(8);
    store_le(size, 0, std::int64_t{30});
    line.send(tag_of(RingMessage::kSize), size);
    (void)line.receive(tag_of(RingMessage::kSizes), 24);
    throw Error(Errc::kInternal, "died here");
  };
  room.run(people.identifiers, {{"site1", vanish}});
  for (const auto& error : {room.error, room.endings.at("site0").error, room.endings.at("site2").error}) {
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Errc::kNetwork);
    EXPECT_THAT(error->what(), HasSubstr("alignment: site 'site1' is gone"));
  }
}

TEST(Alignment, AMemberThatSaysNothingIsNamed) {
  Room room(2, std::chrono::milliseconds(200));
  const auto silent = [](const std::string&, Channel& server) -> Alignment {
    Line line(server, "the server", std::chrono::seconds(20));
    (void)line.receive(tag_of(RingMessage::kSizes), 16);
    return {};
  };
  room.run({{"a"}, {"a"}}, {{"site1", silent}});
  for (const auto& error : {room.error, room.endings.at("site0").error}) {
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code(), Errc::kNetwork);
    EXPECT_THAT(error->what(), HasSubstr("alignment: site 'site1' has not answered in time"));
  }
}

TEST(Alignment, AnotherRunKeyOrRosterDoesNotOpen) {
  const People people(2, 30, 10, 8);
  const auto fails_with = [&](Errc code, const std::function<Alignment(Room&, const std::string&, Channel&)>& how) {
    Room room(2);
    room.run(people.identifiers, {{"site1", [&](const std::string& self, Channel& server) { return how(room, self, server); }}});
    ASSERT_TRUE(room.error);
    EXPECT_EQ(room.error->code(), code) << room.error->what();
  };
  fails_with(Errc::kAuthentication, [&](Room& room, const std::string& self, Channel& server) {
    AlignmentTerms terms = room.terms;
    terms.run = 78;
    return align_as_party(people.identifiers[1], self, server, room.identities.at(self), room.roster, terms);
  });
  fails_with(Errc::kAuthentication, [&](Room& room, const std::string& self, Channel& server) {
    return align_as_party(people.identifiers[1], self, server, Identity(new_key_pair().secret_z85), room.roster, room.terms);
  });
  fails_with(Errc::kAuthentication, [&](Room& room, const std::string& self, Channel& server) {
    return align_as_party(people.identifiers[1], self, server, room.identities.at(self), {}, room.terms);
  });
}

TEST(Alignment, SplitsArriveSealed) {
  Room room(3);
  constexpr std::int64_t kPositions = kPositionsPerChunk + 5;
  std::vector<std::uint8_t> splits(kPositions);
  for (std::size_t i = 0; i < splits.size(); ++i) splits[i] = static_cast<std::uint8_t>((i * i + i / 7) % 3);
  std::map<std::string, ChannelPair> pairs;
  for (const std::string& name : room.terms.members) {
    pairs[name] = make_channel_pair({.window = 1, .baton = nullptr, .stop = {}});
    pairs[name].second = std::make_unique<Tapped>(std::move(pairs[name].second));
  }
  std::map<std::string, std::vector<std::uint8_t>> received{{"site0", {}}, {"site2", {}}};
  {
    std::jthread sender(
        [&] { send_split(splits, "site1", *pairs["site1"].first, room.identities.at("site1"), room.roster, room.terms); });
    std::vector<std::jthread> others;
    for (auto& [name, got] : received)
      others.emplace_back([&, &name = name, &got = got] {
        got = receive_split("site1", kPositions, name, *pairs.at(name).first, room.identities.at(name), room.roster, room.terms);
      });
    relay_split("site1", kPositions, room.terms, [&](const std::string& n) -> Channel& { return *pairs.at(n).second; });
  }
  for (const auto& [name, got] : received) EXPECT_EQ(got, splits) << name;
  const std::string needle(reinterpret_cast<const char*>(splits.data()), 16);
  for (auto& [name, pair] : pairs) {
    const auto& tap = dynamic_cast<const Tapped&>(*pair.second);
    EXPECT_GT(tap.bytes().size(), static_cast<std::size_t>(kPositions));
    EXPECT_EQ(tap.bytes().find(needle), std::string::npos);
    EXPECT_LE(tap.largest() + kPointBytes, kAlignmentFrameBytes);
  }
}

TEST(Alignment, TheRing) {
  EXPECT_THROW(Ring({"a"}), Error);
  EXPECT_THROW(Ring({"a", "b", "a"}), Error);
  const Ring ring({"a", "b", "c"});
  EXPECT_EQ(ring.next(2), 0u);
  EXPECT_EQ(ring.origin(0, 1), 2u);
  EXPECT_EQ(ring.origin(1, 2), 2u);
  EXPECT_THROW((void)ring.index("d"), Error);
}

}  // namespace
}  // namespace sutura
