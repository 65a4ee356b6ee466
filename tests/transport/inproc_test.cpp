#include "transport/inproc.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/error.h"
#include "tests/transport/world.h"
#include "transport/codec.h"
#include "transport/control.h"
#include "transport/decorators.h"

namespace sutura {
namespace {

using std::chrono::milliseconds;

Deadline at_once() { return deadline_in(milliseconds(0)); }

TEST(Inproc, DeliversByTag) {
  auto [a, b] = make_channel_pair();
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_EQ(a->send(numbers(1, Leg::kForward, i, i), soon()), Outcome::kOk);
  ASSERT_EQ(a->send(to_message(Report{"r"}), soon()), Outcome::kOk);
  EXPECT_EQ(from_message<Report>(must_receive(*b, Tag{})).json, "r");
  for (const std::uint64_t i : {3, 1, 0, 2})
    EXPECT_EQ(must_receive(*b, {1, Leg::kForward, i, 0}).tensors, numbers(1, Leg::kForward, i, i).tensors);
  EXPECT_EQ(std::get<Outcome>(b->receive({1, Leg::kForward, 0, 0}, at_once())), Outcome::kTimeout);
}

TEST(Inproc, TheWindowBlocks) {
  auto [a, b] = make_channel_pair({.window = 2, .baton = nullptr, .stop = {}});
  for (std::uint64_t i = 0; i < 2; ++i) ASSERT_EQ(a->send(numbers(1, Leg::kForward, i, i), at_once()), Outcome::kOk);
  EXPECT_EQ(a->send(numbers(1, Leg::kForward, 2, 2), at_once()), Outcome::kTimeout);
  must_receive(*b, {1, Leg::kForward, 0, 0});
  EXPECT_EQ(a->send(numbers(1, Leg::kForward, 2, 2), at_once()), Outcome::kOk);
}

TEST(Inproc, PeerGoneAfterEverythingIsTaken) {
  auto [a, b] = make_channel_pair();
  ASSERT_EQ(a->send(numbers(1, Leg::kForward, 0, 1), soon()), Outcome::kOk);
  a.reset();
  must_receive(*b, {1, Leg::kForward, 0, 0});
  EXPECT_EQ(std::get<Outcome>(b->receive({1, Leg::kForward, 1, 0}, soon())), Outcome::kPeerGone);
  EXPECT_EQ(b->send(numbers(1, Leg::kBackward, 0, 1), soon()), Outcome::kPeerGone);
}

TEST(Inproc, GoodbyeAndRefusal) {
  auto [a, b] = make_channel_pair();
  Message goodbye;
  goodbye.type = MessageType::kGoodbye;
  ASSERT_EQ(a->send(std::move(goodbye), soon()), Outcome::kOk);
  EXPECT_EQ(std::get<Outcome>(b->receive(Tag{}, soon())), Outcome::kPeerGone);
  ASSERT_EQ(b->send(numbers(1, Leg::kForward, 0, 1), soon()), Outcome::kPeerGone);
  auto [c, d] = make_channel_pair();
  ASSERT_EQ(c->send(to_message(Reject{Errc::kPlanMismatch, false, "differs", ""}), soon()), Outcome::kOk);
  try {
    (void)d->receive({1, Leg::kForward, 0, 0}, soon());
    FAIL() << "the refusal was not thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kPlanMismatch);
  }
  EXPECT_EQ(from_message<Reject>(must_receive(*d, Tag{})).text, "differs");
}

TEST(Inproc, ASecondMessageUnderATagThatWaits) {
  auto [a, b] = make_channel_pair();
  ASSERT_EQ(a->send(numbers(1, Leg::kForward, 0, 1), soon()), Outcome::kOk);
  ASSERT_EQ(a->send(numbers(1, Leg::kForward, 0, 1), soon()), Outcome::kOk);
  EXPECT_THROW((void)a->send(numbers(1, Leg::kForward, 0, 2), soon()), Error);
  must_receive(*b, {1, Leg::kForward, 0, 0});
  EXPECT_EQ(std::get<Outcome>(b->receive({1, Leg::kForward, 0, 0}, at_once())), Outcome::kTimeout);
}

TEST(Inproc, StopWakesABlockedCall) {
  std::stop_source stop;
  auto [a, b] = make_channel_pair({.window = 2, .baton = nullptr, .stop = stop.get_token()});
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(std::get<Outcome>(b->receive({1, Leg::kForward, 0, 0}, soon())), Outcome::kStopped);
  EXPECT_EQ(a->send(numbers(1, Leg::kForward, 0, 1), soon()), Outcome::kStopped);
}

// With the baton never more than one thread computes; without it (the control) threads do overlap in the same program.
int most_at_once(Baton* baton) {
  constexpr std::uint64_t kRounds = 200;
  std::atomic<int> computing{0}, most{0};
  std::atomic<int> started{0};
  auto [a, b] = make_channel_pair({.window = 2, .baton = baton, .stop = {}});
  const auto party = [&](Channel& channel, Leg out, Leg in) {
    if (baton) baton->acquire();
    ++started;
    for (std::uint64_t i = 0; i < kRounds; ++i) {
      const int now = ++computing;
      most = std::max(most.load(), now);
      // Without a baton, meet once, so that the overlap does not depend on luck.
      if (!baton && i == 0)
        while (computing < 2 && most < 2) std::this_thread::yield();
      most = std::max(most.load(), computing.load());
      --computing;
      EXPECT_EQ(channel.send(numbers(1, out, i, i), soon()), Outcome::kOk);
      must_receive(channel, {1, in, i, 0});
    }
    if (baton) baton->release();
  };
  {
    std::jthread first([&, &channel = *a] { party(channel, Leg::kForward, Leg::kBackward); });
    std::jthread second([&, &channel = *b] { party(channel, Leg::kBackward, Leg::kForward); });
  }
  return most;
}

TEST(Inproc, OnlyTheHolderOfTheBatonComputes) {
  Baton baton;
  EXPECT_EQ(most_at_once(&baton), 1);
  EXPECT_EQ(most_at_once(nullptr), 2);
}

TEST(Decorators, CountWhatPasses) {
  auto [a, b] = make_channel_pair();
  CountingChannel left(*a), right(*b);
  const Message m = numbers(1, Leg::kForward, 0, 1);
  const Message r = to_message(Report{"abc"});
  ASSERT_EQ(left.send(numbers(1, Leg::kForward, 0, 1), soon()), Outcome::kOk);
  ASSERT_EQ(left.send(to_message(Report{"abc"}), soon()), Outcome::kOk);
  must_receive(right, m.tag);
  must_receive(right, Tag{});
  EXPECT_EQ(left.sent().on(Leg::kForward), (TrafficCount{1, 8 * 16 * 4, 64 + 32 + 8 * 16 * 4}));
  EXPECT_EQ(left.sent().on(Leg::kControl), (TrafficCount{1, 7, 64 + 7}));
  EXPECT_EQ(left.sent().total(), right.received().total());
  EXPECT_EQ(left.received().total(), TrafficCount{});
  EXPECT_EQ(std::get<Outcome>(right.receive(m.tag, at_once())), Outcome::kTimeout);
  EXPECT_EQ(right.received().total().messages, 2u);
}

TEST(Decorators, FaultsAreSeededAndSurvivable) {
  const auto play = [](std::uint64_t seed) {
    auto [a, b] = make_channel_pair();
    FaultyChannel faulty(
        *a, {.seed = seed, .timeout = 0.3, .duplicate = 0.3, .delay = 0.3, .max_delay = std::chrono::microseconds(50)});
    for (std::uint64_t i = 0; i < 50; ++i) {
      while (faulty.send(numbers(1, Leg::kForward, i, i), soon()) == Outcome::kTimeout) {}
      EXPECT_EQ(must_receive(*b, {1, Leg::kForward, i, 0}).tensors, numbers(1, Leg::kForward, i, i).tensors);
    }
    return faulty.faults();
  };
  EXPECT_EQ(play(1), play(1));
  EXPECT_NE(play(1), 0u);
  EXPECT_NE(play(1), play(2));
}

}  // namespace
}  // namespace sutura
