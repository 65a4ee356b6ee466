#include "transport/link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/transport/network_simulator.h"
#include "tests/transport/world.h"

namespace sutura {
namespace {

constexpr std::uint64_t kMessages = 20;

/// Message number i of one side. Every third is a control message, the others are data under tags of their own.
Message scripted(std::size_t side, std::uint64_t i) {
  if (i % 3 == 2) {
    Message m = to_message(Report{"side " + std::to_string(side) + " report " + std::to_string(i)});
    return m;
  }
  return numbers(static_cast<std::uint16_t>(side), Leg::kForward, i, 100 * side + i, 1);
}

bool same(const Message& a, const Message& b) {
  return a.type == b.type && a.tag == b.tag && a.control == b.control && a.tensors == b.tensors;
}

/// Both sides send their script and take the other's in order. Returns what went wrong, or nothing.
std::string play(NetworkSimulator& sim, const LinkSettings& settings) {
  std::uint64_t sent[2] = {0, 0};
  std::uint64_t taken[2] = {0, 0};
  const Deadline limit = sim.now() + std::chrono::hours(1);
  while (true) {
    for (std::size_t side = 0; side < 2; ++side) {
      Link& link = sim.links[side];
      while (sent[side] < kMessages && link.can_send() && sim.chance(0.8))
        link.submit(encode_payload(scripted(side, sent[side]++)), sim.now());
      if (sent[side] - taken[1 - side] > settings.window) return "the window was exceeded";
      while (taken[side] < kMessages && sim.chance(0.8)) {
        const Message wanted = scripted(1 - side, taken[side]);
        const auto got = link.take(wanted.tag.leg == Leg::kControl ? Tag{} : wanted.tag, sim.now());
        if (!got) break;
        if (!same(*got, wanted)) return "another message arrived than was sent";
        ++taken[side];
      }
      if (sent[side] == kMessages && taken[side] == kMessages) link.close(sim.now());
    }
    const bool all = taken[0] == kMessages && taken[1] == kMessages;
    if (all && sim.links[0].drained() && sim.links[1].drained()) break;
    if (sim.now() > limit) return "not finished after an hour";
    if (!sim.advance() && all && !(sim.links[0].drained() && sim.links[1].drained())) return "nothing is left to happen";
  }
  for (std::size_t side = 0; side < 2; ++side) {
    // The goodbye counts as a message, but need not have arrived when both sides are done.
    if (sim.counters[side].received != kMessages && sim.counters[side].received != kMessages + 1)
      return "delivered twice or never";
    if (sim.links[side].take(scripted(1 - side, 0).tag, sim.now())) return "delivered twice";
  }
  return sim.unfaithful_resends ? "a resend differed from the first transmission" : "";
}

LinkSettings tight() {
  LinkSettings s;
  s.window = 5;
  return s;
}

TEST(LinkProperty, EverythingArrivesOnceAndInOrder) {
  std::uint64_t resent = 0, duplicates = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    NetworkSimulator sim(seed, tight(), {});
    ASSERT_EQ(play(sim, tight()), "") << "seed " << seed;
    for (const LinkCounters& c : sim.counters) resent += c.resent, duplicates += c.duplicates;
  }
  // The schedules must have exercised the machinery.
  EXPECT_GT(resent, 3000u);
  EXPECT_GT(duplicates, 3000u);
}

TEST(LinkProperty, AHarshNetworkOnlyTakesLonger) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    NetworkSimulator sim(seed, tight(), {.loss = 0.6, .repeat = 0.5, .reconnect = 0.05, .longest_delay_ms = 3000});
    ASSERT_EQ(play(sim, tight()), "") << "seed " << seed;
  }
}

TEST(LinkProperty, AGoodNetworkNeedsNoResend) {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    NetworkSimulator sim(seed, tight(), {.loss = 0, .repeat = 0, .reconnect = 0, .longest_delay_ms = 1});
    ASSERT_EQ(play(sim, tight()), "") << "seed " << seed;
    EXPECT_EQ(sim.counters[0].resent + sim.counters[1].resent, 0u);
  }
}

// Negative control: what a receiver without duplicate suppression and reordering would deliver is wrong, and is seen to be.
class NaiveReceiver : public NetworkSimulator {
 public:
  using NetworkSimulator::NetworkSimulator;
  std::vector<std::uint64_t> delivered;

 private:
  void on_arrival(std::size_t to, const std::vector<Bytes>& frames) override {
    const auto seq = load_le<std::uint64_t>(frames[0], 16);
    if (to == 1 && seq > 0) delivered.push_back(seq);
  }
};

TEST(LinkProperty, WithoutTheLinkTheSameSchedulesGoWrong) {
  int wrong = 0;
  std::vector<std::uint64_t> wanted(kMessages);
  for (std::uint64_t i = 0; i < kMessages; ++i) wanted[i] = i + 1;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    NaiveReceiver sim(seed, tight(), {});
    ASSERT_EQ(play(sim, tight()), "");
    sim.delivered.resize(std::min(sim.delivered.size(), wanted.size()));
    wrong += sim.delivered != wanted;
  }
  EXPECT_EQ(wrong, 100);
}

/// Hands what one link transmits to the other, once and in order.
class Pair : public testing::Test {
 protected:
  void settle() {
    for (bool busy = true; busy;) {
      busy = false;
      for (Link* from : {&a, &b}) {
        while (const auto packet = from->next_packet(now)) {
          busy = true;
          (from == &a ? b : a).on_packet(parsed(*packet), now);
        }
      }
    }
  }
  static Decoded parsed(const std::vector<SharedFrame>& packet) {
    std::vector<ByteSpan> views;
    for (const auto& frame : packet) views.emplace_back(*frame);
    return decode(views);
  }
  void pass(std::chrono::milliseconds d) {
    now += d;
    settle();
  }
  /// A message from a's end under a's identity, with any numbers.
  Decoded forged(const Message& m, std::uint64_t seq, std::uint64_t ack = 0, std::uint32_t incarnation = 0,
                 std::uint8_t flags = 0) {
    FrameHeader h;
    h.run = 77;
    h.seq = seq;
    h.ack = ack;
    h.incarnation = incarnation;
    h.flags = flags;
    return parsed(encode(h, m));
  }
  static std::string refusal_of(const std::function<void()>& f) {
    try {
      f();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kProtocol);
      return e.what();
    }
    return "accepted";
  }

  Deadline now = Deadline{} + std::chrono::hours(1);
  LinkSettings settings = tight();
  LinkCounters ca, cb;
  Link a{settings, LinkRole::kFollows, 77, ca, now};
  Link b{settings, LinkRole::kLeads, 77, cb, now};
};

TEST_F(Pair, SameNumberOtherContentIsEquivocation) {
  b.on_packet(forged(numbers(1, Leg::kForward, 1, 5), 1), now);
  b.on_packet(forged(numbers(1, Leg::kForward, 1, 5), 1), now);
  EXPECT_EQ(cb.duplicates, 1u);
  EXPECT_THAT(refusal_of([&] { b.on_packet(forged(numbers(1, Leg::kForward, 1, 6), 1), now); }),
              testing::HasSubstr("equivocation"));
  EXPECT_EQ(cb.equivocations, 1u);
}

TEST_F(Pair, SameNumberOtherContentIsEquivocationBeforeDelivery) {
  b.on_packet(forged(numbers(1, Leg::kForward, 3, 5), 3), now);
  b.on_packet(forged(numbers(1, Leg::kForward, 3, 5), 3), now);
  EXPECT_THAT(refusal_of([&] { b.on_packet(forged(numbers(1, Leg::kForward, 3, 6), 3), now); }),
              testing::HasSubstr("equivocation"));
}

TEST_F(Pair, SameTagUnderANewNumber) {
  b.on_packet(forged(numbers(1, Leg::kForward, 1, 5), 1), now);
  EXPECT_TRUE(b.take({1, Leg::kForward, 1, 0}, now));
  b.on_packet(forged(numbers(1, Leg::kForward, 1, 5), 2), now);
  EXPECT_FALSE(b.take({1, Leg::kForward, 1, 0}, now)) << "a duplicate was delivered";
  EXPECT_EQ(cb.duplicates, 1u);
  EXPECT_THAT(refusal_of([&] { b.on_packet(forged(numbers(1, Leg::kForward, 1, 6), 3), now); }),
              testing::HasSubstr("equivocation"));
}

TEST_F(Pair, PeersThatBreakTheRulesAreRefused) {
  const Message m = numbers(1, Leg::kForward, 1, 5);
  EXPECT_NE(refusal_of([&] { b.on_packet(forged(m, 0), now); }), "accepted") << "no number";
  EXPECT_NE(refusal_of([&] { b.on_packet(forged(m, 10), now); }), "accepted") << "beyond window and slack";
  EXPECT_NE(refusal_of([&] { b.on_packet(forged(m, 1, 1), now); }), "accepted") << "acknowledges what was never sent";
  EXPECT_NE(refusal_of([&] { b.on_packet(forged(m, 1, 0, 9), now); }), "accepted") << "a client that raises the incarnation";
  Message ack;
  ack.type = MessageType::kAck;
  EXPECT_NE(refusal_of([&] { b.on_packet(forged(ack, 1), now); }), "accepted") << "an ack with a number";
  Message goodbye;
  goodbye.type = MessageType::kGoodbye;
  b.on_packet(forged(goodbye, 1), now);
  EXPECT_NE(refusal_of([&] { b.on_packet(forged(m, 2), now); }), "accepted") << "after the goodbye";
}

TEST_F(Pair, OlderIncarnationsAreFenced) {
  b.set_incarnation(3);
  b.on_packet(forged(numbers(1, Leg::kForward, 1, 5), 1, 0, 2), now);
  EXPECT_EQ(cb.fenced, 1u);
  EXPECT_FALSE(b.take({1, Leg::kForward, 1, 0}, now));
  // An opening message cannot know the incarnation yet; the answer teaches it.
  a.submit(encode_payload(numbers(1, Leg::kForward, 1, 5)), now);
  settle();
  pass(settings.ack_delay);
  EXPECT_EQ(a.incarnation(), 3u);
  EXPECT_TRUE(b.take({1, Leg::kForward, 1, 0}, now));
  EXPECT_THROW(b.set_incarnation(2), Error);
}

TEST_F(Pair, TheWindowFollowsTheReader) {
  std::uint64_t i = 0;
  for (; i < 50; ++i) {
    pass(settings.ack_delay);
    if (!a.can_send()) break;
    a.submit(encode_payload(numbers(1, Leg::kForward, i, i)), now);
  }
  EXPECT_EQ(i, settings.window);
  EXPECT_THROW(a.submit(encode_payload(numbers(1, Leg::kForward, i, i)), now), Error);
  for (std::uint64_t k = 0; k < i; ++k) EXPECT_TRUE(b.take({1, Leg::kForward, k, 0}, now));
  settle();
  EXPECT_TRUE(a.can_send());
}

TEST_F(Pair, TakesByTagInAnyOrder) {
  for (std::uint64_t i = 0; i < 4; ++i) a.submit(encode_payload(numbers(1, Leg::kForward, i, i)), now);
  settle();
  for (const std::uint64_t i : {2, 0, 3, 1})
    EXPECT_EQ(b.take({1, Leg::kForward, i, 0}, now)->tensors, numbers(1, Leg::kForward, i, i).tensors);
  EXPECT_FALSE(b.take({1, Leg::kForward, 0, 0}, now));
}

TEST_F(Pair, ALostMessageIsAskedForNotGuessed) {
  a.submit(encode_payload(numbers(1, Leg::kForward, 1, 5)), now);
  (void)a.next_packet(now);  // lost
  pass(settings.resend_after - std::chrono::milliseconds(1));
  EXPECT_EQ(ca.asks, 0u);
  pass(std::chrono::milliseconds(1));
  EXPECT_EQ(ca.asks, 1u);
  EXPECT_EQ(ca.resent, 1u);
  EXPECT_TRUE(b.take({1, Leg::kForward, 1, 0}, now));
}

TEST_F(Pair, AReconnectSendsEverythingUnacknowledgedAtOnce) {
  for (std::uint64_t i = 0; i < 3; ++i) a.submit(encode_payload(numbers(1, Leg::kForward, i, i)), now);
  while (a.next_packet(now)) {}
  a.on_reconnect(now);
  settle();
  EXPECT_EQ(ca.resent, 3u);
  EXPECT_EQ(ca.asks, 0u);
  for (std::uint64_t i = 0; i < 3; ++i) EXPECT_TRUE(b.take({1, Leg::kForward, i, 0}, now));
  a.on_reconnect(now);
  EXPECT_TRUE(a.next_packet(now)) << "the peer must learn of the new connection";
  EXPECT_EQ(ca.resent, 3u);
}

TEST_F(Pair, ASlowLinkIsNotFloodedWithResends) {
  a.submit(encode_payload(numbers(1, Leg::kForward, 1, 5)), now);
  const auto slow = a.next_packet(now);
  int packets = 0;
  for (int second = 0; second < 60; ++second) {
    now += std::chrono::seconds(1);
    while (a.next_packet(now)) ++packets;
  }
  EXPECT_LE(packets, 10) << "questions back off";
  EXPECT_EQ(ca.resent, 0u) << "data is not repeated while nothing says that it is lost";
  b.on_packet(parsed(*slow), now);
  EXPECT_TRUE(b.take({1, Leg::kForward, 1, 0}, now));
}

TEST_F(Pair, AQuietPeerCountsAsGoneUntilItSpeaks) {
  a.submit(encode_payload(numbers(1, Leg::kForward, 1, 5)), now);
  EXPECT_EQ(a.silent_at(), Deadline::max()) << "before the first word it is not yet there, not gone";
  settle();
  EXPECT_EQ(a.silent_at(), now + settings.peer_timeout + settings.frame_time());
  for (int i = 0; i < 100; ++i) pass(settings.heartbeat);
  EXPECT_GE(ca.asks + cb.asks, 50u) << "an idle link shows signs of life";
  EXPECT_GT(a.silent_at(), now);
  EXPECT_GT(b.silent_at(), now);
}

TEST_F(Pair, RefusalsEndTheLink) {
  FrameHeader h;
  h.run = 77;
  a.submit(encode_payload(numbers(1, Leg::kForward, 1, 5)), now);
  a.on_packet(parsed(encode(h, to_message(Reject{Errc::kAuthentication, true, "busy", ""}))), now);
  EXPECT_FALSE(a.refused()) << "a retryable refusal while opening means: later";
  settle();
  pass(settings.ack_delay);
  a.on_packet(parsed(encode(h, to_message(Reject{Errc::kNetwork, true, "who are you?", ""}))), now);
  EXPECT_TRUE(a.peer_forgot());
  b.on_packet(parsed(encode(h, to_message(Reject{Errc::kProtocol, false, "no", ""}))), now);
  ASSERT_TRUE(b.refused());
  EXPECT_EQ(b.refused()->text, "no");
  EXPECT_FALSE(b.next_packet(now + std::chrono::hours(1)));
}

}  // namespace
}  // namespace sutura
