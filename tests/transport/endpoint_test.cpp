#include "transport/io_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <thread>

#include "tests/transport/tcp_proxy.h"
#include "tests/transport/world.h"
#include "transport/codec.h"
#include "transport/control.h"

namespace sutura {
namespace {

using std::chrono::milliseconds;

Hello hello_of(const std::string& site) {
  Hello hello;
  hello.site = site;
  return hello;
}

/// A client's side of a short exchange: hello, then `steps` tensors out and back.
void exchange(Channel& channel, const std::string& site, std::uint64_t steps, std::int64_t rows = 8) {
  ASSERT_EQ(channel.send(to_message(hello_of(site)), soon()), Outcome::kOk);
  for (std::uint64_t step = 0; step < steps; ++step) {
    ASSERT_EQ(channel.send(numbers(1, Leg::kForward, step, site.size() + step, rows), soon()), Outcome::kOk);
    const Message answer = must_receive(channel, {1, Leg::kBackward, step, 0});
    ASSERT_EQ(answer.tensors, numbers(1, Leg::kBackward, step, 2 * step, rows).tensors);
  }
}

/// The server's side of it. `between` runs before each answer.
void serve(ServerEndpoint& server, std::size_t clients, std::uint64_t steps, std::int64_t rows = 8,
           const std::function<void(std::uint64_t)>& between = {}) {
  std::map<std::string, std::unique_ptr<Channel>> channels;
  while (channels.size() < clients) {
    std::string site;
    auto channel = server.accept(site, soon());
    ASSERT_TRUE(channel);
    EXPECT_EQ(from_message<Hello>(must_receive(*channel, Tag{})).site, site);
    channels[site] = std::move(channel);
  }
  for (std::uint64_t step = 0; step < steps; ++step) {
    for (auto& [site, channel] : channels) {
      const Message m = must_receive(*channel, {1, Leg::kForward, step, 0});
      ASSERT_EQ(m.tensors, numbers(1, Leg::kForward, step, site.size() + step, rows).tensors);
      if (between) between(step);
      ASSERT_EQ(channel->send(numbers(1, Leg::kBackward, step, 2 * step, rows), soon()), Outcome::kOk);
    }
  }
}

/// The error that a channel's receive throws.
Error failure_of(Channel& channel) {
  try {
    const auto got = channel.receive({1, Leg::kForward, 999, 0}, soon());
    return Error(Errc::kInternal, "no error; outcome " + std::to_string(static_cast<int>(std::get<Outcome>(got))));
  } catch (const Error& e) {
    return e;
  }
}

Outcome outcome_of(Channel& channel, milliseconds patience = milliseconds(20000)) {
  const auto got = channel.receive({1, Leg::kForward, 999, 0}, deadline_in(patience));
  EXPECT_TRUE(std::holds_alternative<Outcome>(got));
  return std::get<Outcome>(got);
}

TEST(Endpoint, TwoClientsExchangeTensors) {
  World world({"north", "south"});
  const auto client = [&](const std::string& site) {
    const auto endpoint = world.client(site);
    exchange(endpoint->channel(), site, 200);
  };
  std::jthread north([&] { client("north"); });
  std::jthread south([&] { client("south"); });
  serve(world.server(), 2, 200);
  EXPECT_EQ(world.server().counters().resent, 0u);
  EXPECT_EQ(world.server().counters().malformed, 0u);
}

TEST(Endpoint, LargeTensors) {
  World world({"north"});
  std::jthread north([&] { exchange(world.client("north")->channel(), "north", 4, 1 << 15); });  // 2 MiB each
  serve(world.server(), 1, 4, 1 << 15);
}

TEST(Endpoint, ATensorAboveThePlanIsRefusedAtTheSender) {
  World world({"north"});
  const auto client = world.client("north");
  EXPECT_THROW((void)client->channel().send(numbers(1, Leg::kForward, 0, 1, 1 << 18), soon()), Error);
}

TEST(Endpoint, AnUnknownKeyIsRefusedAndTheOthersGoOn) {
  World world({"north"});
  ClientEndpoint stranger(world.server().bound_endpoint(), world.server_public(), new_key_pair().secret_z85, quick());
  std::jthread north([&] { exchange(world.client("north")->channel(), "north", 20); });
  send_or_be_refused(stranger.channel(), to_message(hello_of("north")));
  const Error error = failure_of(stranger.channel());
  EXPECT_EQ(error.code(), Errc::kAuthentication);
  EXPECT_THAT(error.what(), testing::HasSubstr("the server refused this key"));
  serve(world.server(), 1, 20);
  EXPECT_GE(world.server().counters().keys_refused, 1u);
  EXPECT_EQ(stranger.counters().sent, 0u);
}

TEST(Endpoint, AWrongServerKeyIsFoundAfterSomeTries) {
  World world({"north"});
  TcpProxy proxy(port_of(world.server().bound_endpoint()));
  ClientEndpoint client(proxy.endpoint(), new_key_pair().public_z85, world.secret("north"), quick());
  const std::string canary(64, 'C');
  send_or_be_refused(client.channel(), to_message(Report{canary}));
  const Error error = failure_of(client.channel());
  EXPECT_EQ(error.code(), Errc::kAuthentication);
  EXPECT_THAT(error.what(), testing::HasSubstr("wrong server key or not a Sutura server"));
  EXPECT_EQ(client.counters().sent, 0u);
  EXPECT_EQ(client.counters().handshakes_failed, static_cast<std::uint64_t>(quick().handshake_tries));
  EXPECT_THAT(proxy.recorded(), testing::Not(testing::HasSubstr(canary)));
  EXPECT_FALSE(proxy.recorded().empty());
}

TEST(Endpoint, NothingReadableCrossesTheNetwork) {
  World world({"north"});
  TcpProxy proxy(port_of(world.server().bound_endpoint()));
  ClientEndpoint client(proxy.endpoint(), world.server_public(), world.secret("north"), quick());
  const std::string canary(64, 'C');
  ASSERT_EQ(client.channel().send(to_message(Report{canary}), soon()), Outcome::kOk);
  std::string site;
  const auto channel = world.server().accept(site, soon());
  ASSERT_TRUE(channel);
  EXPECT_EQ(from_message<Report>(must_receive(*channel, Tag{})).json, canary);
  EXPECT_GT(proxy.recorded().size(), 64u + 64u);
  EXPECT_THAT(proxy.recorded(), testing::Not(testing::HasSubstr(canary)));
}

TEST(Endpoint, RandomBytesOnThePortDisturbNobody) {
  World world({"north"});
  const int port = port_of(world.server().bound_endpoint());
  std::mt19937_64 random(3);
  std::list<RawTcp> noise;
  const auto make_noise = [&](std::uint64_t step) {
    if (step % 4) return;
    std::string bytes(1 + random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    // Random bytes, a greeting that stops, another protocol's hello, and one that says nothing.
    const std::string greeting("\xff\0\0\0\0\0\0\0\1\x7f\3\0CURVE", 17);
    for (const std::string& text : {bytes, greeting, std::string("GET / HTTP/1.1\r\n\r\n"), std::string()})
      noise.emplace_back(port).send(text);
  };
  std::jthread north([&] { exchange(world.client("north")->channel(), "north", 100); });
  serve(world.server(), 1, 100, 8, make_noise);
  EXPECT_EQ(noise.size(), 100u);
  EXPECT_EQ(world.server().counters().strangers, 0u);
}

TEST(Endpoint, CutConnectionsLoseAndRepeatNothing) {
  World world({"north"});
  TcpProxy proxy(port_of(world.server().bound_endpoint()));
  constexpr std::uint64_t kSteps = 120;
  LinkSettings settings = quick();
  std::jthread north([&] {
    ClientEndpoint client(proxy.endpoint(), world.server_public(), world.secret("north"), settings);
    // Many under way in both directions when the connection breaks.
    ASSERT_EQ(client.channel().send(to_message(hello_of("north")), soon()), Outcome::kOk);
    for (std::uint64_t step = 0; step < kSteps; ++step)
      ASSERT_EQ(client.channel().send(numbers(1, Leg::kForward, step, step, 256), soon()), Outcome::kOk);
    for (std::uint64_t step = 0; step < kSteps; ++step)
      ASSERT_EQ(must_receive(client.channel(), {1, Leg::kBackward, step, 0}).tensors,
                numbers(1, Leg::kBackward, step, step, 256).tensors);
    EXPECT_EQ(client.counters().reconnects, 4u);
  });
  std::string site;
  const auto channel = world.server().accept(site, soon());
  ASSERT_TRUE(channel);
  int cuts = 0;
  for (std::uint64_t step = 0; step < kSteps; ++step) {
    ASSERT_EQ(must_receive(*channel, {1, Leg::kForward, step, 0}).tensors, numbers(1, Leg::kForward, step, step, 256).tensors);
    if (step % 30 == 7) {
      proxy.cut();
      ++cuts;
      ASSERT_TRUE(eventually([&] { return proxy.cuts() == cuts; }));
    }
    // The next cut needs a connection.
    if (step % 30 == 25) {
      ASSERT_TRUE(eventually([&] { return world.server().counters().reconnects == static_cast<std::uint64_t>(cuts); }));
    }
    ASSERT_EQ(channel->send(numbers(1, Leg::kBackward, step, step, 256), soon()), Outcome::kOk);
  }
  north.join();
  EXPECT_EQ(cuts, 4);
  EXPECT_EQ(world.server().counters().received, kSteps + 2);  // with hello and goodbye: each once
  EXPECT_EQ(world.server().counters().reconnects, 4u);
}

// The encryption refuses a changed byte and drops the connection; the socket library then never dials again by itself.
TEST(Endpoint, CorruptedBytesCostAConnectionAndNothingElse) {
  LinkSettings settings = quick();
  // A corrupted length makes the reader wait for bytes that never come, for as long as a frame may take.
  settings.socket_heartbeat = milliseconds(100);
  settings.slowest_bytes_per_second = std::size_t{1} << 30;
  World world({"north"}, settings);
  TcpProxy proxy(port_of(world.server().bound_endpoint()));
  ClientEndpoint client(proxy.endpoint(), world.server_public(), world.secret("north"), settings);
  exchange(client.channel(), "north", 0);
  std::string site;
  const auto channel = world.server().accept(site, soon());
  ASSERT_TRUE(channel);
  for (std::uint64_t step = 0; step < 8; ++step) {
    if (step % 4 == 1) proxy.corrupt_from_client();
    if (step % 4 == 3) proxy.corrupt_from_server();
    ASSERT_EQ(client.channel().send(numbers(1, Leg::kForward, step, step, 64), soon()), Outcome::kOk);
    ASSERT_EQ(must_receive(*channel, {1, Leg::kForward, step, 0}).tensors, numbers(1, Leg::kForward, step, step, 64).tensors);
    ASSERT_EQ(channel->send(numbers(1, Leg::kBackward, step, step, 64), soon()), Outcome::kOk);
    ASSERT_EQ(must_receive(client.channel(), {1, Leg::kBackward, step, 0}).tensors,
              numbers(1, Leg::kBackward, step, step, 64).tensors);
  }
  EXPECT_GE(client.counters().reconnects, 3u);
  EXPECT_EQ(client.counters().malformed + world.server().counters().malformed, 0u);
}

/// Connections lost while a frame that takes about half a second passes a slow link, with a socket timeout of 200 ms.
std::uint64_t disconnects_on_a_slow_link(std::size_t slowest_bytes_per_second) {
  LinkSettings settings = quick();
  settings.socket_heartbeat = milliseconds(40);
  settings.peer_timeout = milliseconds(300);
  settings.slowest_bytes_per_second = slowest_bytes_per_second;
  settings.drain = milliseconds(200);
  World world({"north"}, settings);
  TcpProxy proxy(port_of(world.server().bound_endpoint()));
  ClientEndpoint client(proxy.endpoint(), world.server_public(), world.secret("north"), settings);
  exchange(client.channel(), "north", 0);
  std::string site;
  const auto channel = world.server().accept(site, soon());
  EXPECT_TRUE(channel);
  proxy.throttle(1024);
  EXPECT_EQ(client.channel().send(numbers(1, Leg::kForward, 1, 1, 8192), soon()), Outcome::kOk);  // 512 KiB
  const auto got = channel->receive({1, Leg::kForward, 1, 0}, deadline_in(milliseconds(3000)));
  EXPECT_EQ(std::holds_alternative<Message>(got), slowest_bytes_per_second < (std::size_t{1} << 30));
  return client.counters().disconnects + world.server().counters().disconnects;
}

// While bytes flow nobody is dead: neither the socket's heartbeat nor the link's may cut a frame that takes long.
TEST(Endpoint, ASlowLinkIsNotADeadOne) {
  EXPECT_EQ(disconnects_on_a_slow_link(std::size_t{1} << 20), 0u);
  // The control: without the allowance for the largest frame the message never gets through.
  EXPECT_GE(disconnects_on_a_slow_link(std::size_t{1} << 40), 1u);
}

TEST(Endpoint, TheLastMessageOfAnExitingProcessArrives) {
  World world({"north"});
  for (std::uint64_t round = 0; round < 5; ++round) {
    {
      const auto client = world.client("north");
      for (std::uint64_t i = 0; i < 10; ++i)
        ASSERT_EQ(client->channel().send(numbers(1, Leg::kForward, i, round, 2048), soon()), Outcome::kOk);
    }
    std::string site;
    const auto channel = world.server().accept(site, soon());
    ASSERT_TRUE(channel);
    for (std::uint64_t i = 0; i < 10; ++i)
      EXPECT_EQ(must_receive(*channel, {1, Leg::kForward, i, 0}).tensors, numbers(1, Leg::kForward, i, round, 2048).tensors);
    EXPECT_EQ(outcome_of(*channel), Outcome::kPeerGone);
    EXPECT_EQ(channel->send(numbers(1, Leg::kBackward, 0, 1), soon()), Outcome::kPeerGone);
  }
}

TEST(Endpoint, TheLastMessageArrivesAlthoughTheConnectionIsJustBroken) {
  World world({"north"});
  TcpProxy proxy(port_of(world.server().bound_endpoint()));
  auto client = std::make_unique<ClientEndpoint>(proxy.endpoint(), world.server_public(), world.secret("north"), quick());
  exchange(client->channel(), "north", 0);
  std::string site;
  const auto channel = world.server().accept(site, soon());
  ASSERT_TRUE(channel);
  proxy.cut();
  ASSERT_TRUE(eventually([&] { return client->counters().disconnects == 1; }));
  ASSERT_EQ(client->channel().send(numbers(1, Leg::kForward, 1, 1), soon()), Outcome::kOk);
  client.reset();
  EXPECT_EQ(must_receive(*channel, {1, Leg::kForward, 1, 0}, deadline_in(milliseconds(1000))).tensors,
            numbers(1, Leg::kForward, 1, 1).tensors);
}

TEST(Endpoint, TheServersLastMessageArrivesToo) {
  World world({"north"});
  const auto client = world.client("north");
  ASSERT_EQ(client->channel().send(to_message(hello_of("north")), soon()), Outcome::kOk);
  std::string site;
  auto channel = world.server().accept(site, soon());
  ASSERT_TRUE(channel);
  ASSERT_EQ(channel->send(numbers(1, Leg::kBackward, 3, 9), soon()), Outcome::kOk);
  channel.reset();
  const Deadline start = std::chrono::steady_clock::now();
  world.close();
  EXPECT_LT(seconds_since(start), 1.5) << "the drain waited although everything was acknowledged";
  EXPECT_EQ(must_receive(client->channel(), {1, Leg::kBackward, 3, 0}).tensors, numbers(1, Leg::kBackward, 3, 9).tensors);
  EXPECT_EQ(outcome_of(client->channel()), Outcome::kPeerGone);
}

TEST(Endpoint, DeadlinesAndTheWindow) {
  LinkSettings settings = quick();
  settings.window = 4;
  World world({"north"}, settings);
  const auto client = world.client("north", settings);
  EXPECT_EQ(outcome_of(client->channel(), milliseconds(1)), Outcome::kTimeout);
  std::uint64_t sent = 0;
  Outcome outcome = Outcome::kOk;
  while (outcome == Outcome::kOk && sent < 100) {
    outcome = client->channel().send(numbers(1, Leg::kForward, sent, sent), deadline_in(milliseconds(200)));
    sent += outcome == Outcome::kOk;
  }
  EXPECT_EQ(outcome, Outcome::kTimeout);
  EXPECT_EQ(sent, 4u);
  std::string site;
  EXPECT_FALSE(world.server().accept(site, soon()) == nullptr);
  EXPECT_FALSE(world.server().accept(site, deadline_in(milliseconds(1))));
}

TEST(Endpoint, StopWakesEverybody) {
  World world({"north"});
  const auto client = world.client("north");
  std::jthread stopper([&] { client->stop(); });
  EXPECT_EQ(outcome_of(client->channel()), Outcome::kStopped);
  EXPECT_EQ(client->channel().send(numbers(1, Leg::kForward, 0, 0), soon()), Outcome::kStopped);
  std::jthread other([&] { world.server().stop(); });
  std::string site;
  EXPECT_FALSE(world.server().accept(site, soon()));
}

TEST(Endpoint, AClientThatRestartsBeginsANewSession) {
  World world({"north"});
  LinkSettings settings = quick();
  settings.drain = milliseconds(0);  // the first client dies without a word
  auto first = world.client("north", settings);
  ASSERT_EQ(first->channel().send(numbers(1, Leg::kForward, 0, 1), soon()), Outcome::kOk);
  std::string site;
  const auto old_channel = world.server().accept(site, soon());
  ASSERT_TRUE(old_channel);
  must_receive(*old_channel, {1, Leg::kForward, 0, 0});
  first.reset();
  const auto second = world.client("north");
  ASSERT_EQ(second->channel().send(numbers(1, Leg::kForward, 0, 2), soon()), Outcome::kOk);
  const auto new_channel = world.server().accept(site, soon());
  ASSERT_TRUE(new_channel);
  EXPECT_EQ(must_receive(*new_channel, {1, Leg::kForward, 0, 0}).tensors, numbers(1, Leg::kForward, 0, 2).tensors);
  EXPECT_EQ(outcome_of(*old_channel), Outcome::kPeerGone);
}

TEST(Endpoint, ASecondClientWithTheSameKeyWaitsForTheFirstToLeave) {
  World world({"north"});
  auto first = world.client("north");
  ASSERT_EQ(first->channel().send(numbers(1, Leg::kForward, 0, 1), soon()), Outcome::kOk);
  std::string site;
  const auto channel = world.server().accept(site, soon());
  ASSERT_TRUE(channel);
  const auto second = world.client("north");
  ASSERT_EQ(second->channel().send(numbers(1, Leg::kForward, 0, 2), soon()), Outcome::kOk);
  EXPECT_FALSE(world.server().accept(site, deadline_in(milliseconds(400)))) << "the second took over a living session";
  EXPECT_GE(world.server().counters().contested, 1u);
  ASSERT_EQ(first->channel().send(numbers(1, Leg::kForward, 1, 1), soon()), Outcome::kOk);
  must_receive(*channel, {1, Leg::kForward, 0, 0});
  must_receive(*channel, {1, Leg::kForward, 1, 0});
  first.reset();
  const auto other = world.server().accept(site, soon());
  ASSERT_TRUE(other);
  EXPECT_EQ(must_receive(*other, {1, Leg::kForward, 0, 0}).tensors, numbers(1, Leg::kForward, 0, 2).tensors);
}

TEST(Endpoint, AServerThatForgotIsGone) {
  const KeyPair server = new_key_pair(), north = new_key_pair();
  ServerSecurity security{server.secret_z85, {{north.public_z85, "north"}}};
  LinkSettings settings = quick();
  settings.drain = milliseconds(100);  // its client will not come back
  auto first = std::make_unique<ServerEndpoint>("tcp://127.0.0.1:*", security, settings);
  TcpProxy proxy(port_of(first->bound_endpoint()));
  ClientEndpoint client(proxy.endpoint(), server.public_z85, north.secret_z85, quick());
  exchange(client.channel(), "north", 0);
  std::string site;
  ASSERT_TRUE(first->accept(site, soon()) != nullptr);
  // Wait for the answer that makes the session known to the client, then let a fresh server take the port's place.
  ServerEndpoint second("tcp://127.0.0.1:*", security, quick());
  proxy.retarget(port_of(second.bound_endpoint()));
  EXPECT_EQ(outcome_of(client.channel()), Outcome::kPeerGone);
  proxy.cut();
  EXPECT_EQ(client.channel().send(numbers(1, Leg::kForward, 1, 1), soon()), Outcome::kPeerGone);
}

TEST(Endpoint, OnlyTcp) {
  const KeyPair keys = new_key_pair();
  for (const char* endpoint : {"ipc:///tmp/x", "inproc://x", "udp://127.0.0.1:1", "127.0.0.1:7000", "tcp://nowhere"}) {
    try {
      ServerEndpoint server(endpoint, {keys.secret_z85, {{keys.public_z85, "north"}}}, quick());
      ADD_FAILURE() << endpoint;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kConfig) << endpoint;
    }
  }
  EXPECT_THROW(ClientEndpoint("ipc:///tmp/x", keys.public_z85, keys.secret_z85, quick()), Error);
  EXPECT_THROW(ClientEndpoint("tcp://127.0.0.1:1", "no key", keys.secret_z85, quick()), Error);
  EXPECT_THROW(ServerEndpoint("tcp://127.0.0.1:*", {keys.secret_z85, {}}, quick()), Error);
  EXPECT_THROW(ServerEndpoint("tcp://127.0.0.1:*", {"no key", {{keys.public_z85, "north"}}}, quick()), Error);
}

}  // namespace
}  // namespace sutura
