#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include <zmq.hpp>

#include "core/error.h"
#include "tests/transport/world.h"
#include "transport/codec.h"
#include "transport/control.h"
#include "transport/socket_io.h"
#include "transport/socket_options.h"
#include "transport/zap.h"

namespace sutura {
namespace {

using std::chrono::milliseconds;

/// A socket without Sutura's manners, with or without a key.
class RawPeer {
 public:
  RawPeer(World& world, const std::string& secret_z85) {
    dealer_.set(zmq::sockopt::linger, 0);
    if (!secret_z85.empty()) secure_client(dealer_, world.server_public(), secret_z85);
    dealer_.connect(world.server().bound_endpoint());
  }
  void send(const std::vector<Bytes>& frames) {
    for (std::size_t i = 0; i < frames.size(); ++i)
      dealer_.send(zmq::const_buffer(frames[i].data(), frames[i].size()),
                   i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
  void send(const FrameHeader& header, const Message& message) {
    std::vector<Bytes> frames;
    for (const SharedFrame& frame : encode(header, message)) frames.push_back(*frame);
    send(frames);
  }
  /// The first connection event of this kind, or a failure.
  bool sees(std::uint16_t event) {
    const Deadline deadline = soon();
    while (std::chrono::steady_clock::now() < deadline) {
      while (const auto got = monitor_.next())
        if (got->event == event) return true;
      zmq::pollitem_t item{monitor_.socket().handle(), 0, ZMQ_POLLIN, 0};
      zmq::poll(&item, 1, milliseconds(100));
    }
    return false;
  }
  /// The next message, if one comes in time.
  std::optional<Decoded> receive(milliseconds patience) {
    zmq::pollitem_t item{dealer_.handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, patience);
    const auto got = receive_message(dealer_);
    if (!got) return std::nullopt;
    return decode(got->views(0));
  }

 private:
  zmq::context_t context_;
  zmq::socket_t dealer_{context_, zmq::socket_type::dealer};
  Monitor monitor_{context_, dealer_, "raw"};
};

FrameHeader opening(std::uint64_t run, std::uint64_t seq) {
  FrameHeader h;
  h.run = run;
  h.seq = seq;
  h.flags = kFlagOpening;
  return h;
}

/// A good client that must be served whatever the other peer does.
void good_client_works(World& world, const std::string& site) {
  const auto client = world.client(site);
  ASSERT_EQ(client->channel().send(numbers(1, Leg::kForward, 1, 1), soon()), Outcome::kOk);
  std::string name;
  std::unique_ptr<Channel> channel;
  do {
    channel = world.server().accept(name, soon());
    ASSERT_TRUE(channel);
  } while (name != site);
  must_receive(*channel, {1, Leg::kForward, 1, 0});
  ASSERT_EQ(channel->send(numbers(1, Leg::kBackward, 1, 1), soon()), Outcome::kOk);
  must_receive(client->channel(), {1, Leg::kBackward, 1, 0});
}

/// The kReject that the raw peer gets, past other messages.
Reject refusal_at(RawPeer& peer) {
  while (auto got = peer.receive(milliseconds(5000)))
    if (got->message.type == MessageType::kReject) return from_message<Reject>(got->message);
  ADD_FAILURE() << "no refusal came";
  return {};
}

TEST(HostilePeer, APlainClientGetsNothing) {
  World world({"north"});
  RawPeer plain(world, "");
  plain.send(opening(5, 1), numbers(1, Leg::kForward, 1, 1));
  EXPECT_TRUE(plain.sees(ZMQ_EVENT_DISCONNECTED));
  good_client_works(world, "north");
  EXPECT_FALSE(plain.receive(milliseconds(0)));
  EXPECT_EQ(world.server().counters().strangers, 0u) << "a message came through without a key";
  EXPECT_GE(world.server().counters().handshakes_failed, 1u);
}

TEST(HostilePeer, AnOversizedFrameEndsTheConnectionOfThatPeerOnly) {
  World world({"evil", "north"});
  RawPeer evil(world, world.secret("evil"));
  evil.send({Bytes(quick().max_frame_bytes + kFrameSlack + 1)});
  EXPECT_TRUE(evil.sees(ZMQ_EVENT_HANDSHAKE_SUCCEEDED));
  EXPECT_TRUE(evil.sees(ZMQ_EVENT_DISCONNECTED));
  good_client_works(world, "north");
  EXPECT_EQ(world.server().counters().malformed, 0u) << "the frame was delivered";
}

TEST(HostilePeer, MalformedMessagesEndThatSessionOnly) {
  World world({"evil", "north"});
  RawPeer evil(world, world.secret("evil"));
  evil.send(opening(5, 1), numbers(1, Leg::kForward, 1, 1));
  std::string site;
  const auto channel = world.server().accept(site, soon());
  ASSERT_TRUE(channel);
  EXPECT_EQ(site, "evil");
  must_receive(*channel, {1, Leg::kForward, 1, 0});
  evil.send({Bytes(64), Bytes(3)});
  try {
    (void)channel->receive({1, Leg::kForward, 2, 0}, soon());
    FAIL() << "the violation was not reported";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kProtocol);
    EXPECT_THAT(e.what(), testing::HasSubstr("site evil: malformed message"));
  }
  EXPECT_EQ(refusal_at(evil).code, Errc::kProtocol);
  // What it says later in this session is not heard.
  evil.send(opening(5, 2), numbers(1, Leg::kForward, 2, 1));
  good_client_works(world, "north");
  EXPECT_THROW((void)channel->receive({1, Leg::kForward, 2, 0}, soon()), Error);
}

TEST(HostilePeer, GarbageBeforeAnySession) {
  World world({"evil", "north"});
  RawPeer evil(world, world.secret("evil"));
  evil.send({Bytes(5)});
  EXPECT_EQ(refusal_at(evil).code, Errc::kProtocol);
  evil.send(std::vector<Bytes>(40, Bytes(64)));
  EXPECT_EQ(refusal_at(evil).code, Errc::kProtocol);
  good_client_works(world, "north");
  EXPECT_EQ(world.server().counters().malformed, 2u);
}

TEST(HostilePeer, EquivocationIsReported) {
  World world({"evil"});
  RawPeer evil(world, world.secret("evil"));
  evil.send(opening(5, 1), numbers(1, Leg::kForward, 1, 1));
  evil.send(opening(5, 1), numbers(1, Leg::kForward, 1, 1));
  evil.send(opening(5, 1), numbers(1, Leg::kForward, 1, 2));
  EXPECT_THAT(refusal_at(evil).text, testing::HasSubstr("equivocation"));
  EXPECT_EQ(world.server().counters().equivocations, 1u);
  EXPECT_EQ(world.server().counters().duplicates, 1u);
}

TEST(HostilePeer, AnUnknownSessionIsToldToBeginAgain) {
  World world({"north"});
  RawPeer peer(world, world.secret("north"));
  FrameHeader stale = opening(5, 17);
  stale.flags = 0;
  peer.send(stale, numbers(1, Leg::kForward, 1, 1));
  const Reject reject = refusal_at(peer);
  EXPECT_EQ(reject.code, Errc::kNetwork);
  EXPECT_TRUE(reject.retryable);
}

TEST(HostilePeer, AClientRefusesAServerWithoutCurve) {
  zmq::context_t context;
  zmq::socket_t plain(context, zmq::socket_type::router);
  plain.set(zmq::sockopt::linger, 0);
  plain.bind("tcp://127.0.0.1:*");
  const KeyPair keys = new_key_pair();
  ClientEndpoint client(plain.get(zmq::sockopt::last_endpoint), keys.public_z85, keys.secret_z85, quick());
  send_or_be_refused(client.channel(), numbers(1, Leg::kForward, 1, 1));
  try {
    (void)client.channel().receive(Tag{}, soon());
    FAIL() << "the client accepted the server";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kAuthentication);
    EXPECT_THAT(e.what(), testing::HasSubstr("not a Sutura server"));
  }
  EXPECT_FALSE(receive_message(plain)) << "something reached a server without CURVE";
}

// Negative control of the start-up test: sockets that would let a stranger in must be found out.
TEST(SelfTest, FindsServersThatAcceptAnybody) {
  const KeyPair server = new_key_pair();
  for (const bool with_domain : {false, true}) {
    zmq::context_t context;
    zmq::socket_t open(context, zmq::socket_type::router);
    open.set(zmq::sockopt::linger, 0);
    if (with_domain) {
      secure_server(open, server.secret_z85);  // CURVE and domain, but no handler and no enforcement: libzmq lets all in
    } else {
      const int on = 1;
      zmq_setsockopt(open.handle(), ZMQ_CURVE_SERVER, &on, sizeof on);
      zmq_setsockopt(open.handle(), ZMQ_CURVE_SECRETKEY, server.secret_z85.c_str(), 41);
    }
    open.bind("tcp://127.0.0.1:*");
    try {
      expect_unknown_key_refused(context, open.get(zmq::sockopt::last_endpoint), server.public_z85, nullptr, milliseconds(5000));
      ADD_FAILURE() << "the open server passed";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kAuthentication);
      EXPECT_THAT(e.what(), testing::HasSubstr("would accept a client with any key"));
    }
  }
}

TEST(SelfTest, PassesWithTheHandlerAndOnlyWithIt) {
  const KeyPair server = new_key_pair();
  zmq::context_t context;
  ZapHandler zap(context, {{new_key_pair().public_z85, "north"}});
  zmq::socket_t socket(context, zmq::socket_type::router);
  set_options(socket, server_options(quick()));
  secure_server(socket, server.secret_z85);
  socket.bind("tcp://127.0.0.1:*");
  const std::string endpoint = socket.get(zmq::sockopt::last_endpoint);
  EXPECT_NO_THROW(expect_unknown_key_refused(context, endpoint, server.public_z85, &zap, milliseconds(5000)));
  // A handler that never answers is no refusal either.
  EXPECT_THROW(expect_unknown_key_refused(context, endpoint, server.public_z85, nullptr, milliseconds(200)), Error);
}

TEST(SocketOptions, AreWhatTheSpecificationSays) {
  LinkSettings s;
  s.window = 10;
  s.max_frame_bytes = 1 << 20;
  zmq::context_t context;
  zmq::socket_t client(context, zmq::socket_type::dealer);
  zmq::socket_t server(context, zmq::socket_type::router);
  set_options(client, client_options(s));
  set_options(server, server_options(s));
  const KeyPair keys = new_key_pair();
  secure_client(client, keys.public_z85, keys.secret_z85);
  secure_server(server, keys.secret_z85);
  for (const zmq::socket_t* socket : {&client, &server}) {
    EXPECT_EQ(option_value(*socket, ZMQ_MAXMSGSIZE), (1 << 20) + 4096);
    EXPECT_EQ(option_value(*socket, ZMQ_RCVHWM), 12);
    EXPECT_EQ(option_value(*socket, ZMQ_SNDHWM), 12);
    EXPECT_EQ(option_value(*socket, ZMQ_HANDSHAKE_IVL), 5000);
    EXPECT_EQ(option_value(*socket, ZMQ_HEARTBEAT_IVL), 2000);
    EXPECT_EQ(option_value(*socket, ZMQ_HEARTBEAT_TIMEOUT), 10000 + 8000);  // 1 MiB at 128 KiB/s takes 8 s
    EXPECT_EQ(option_value(*socket, ZMQ_HEARTBEAT_TTL), 12000 + 8000);
    EXPECT_EQ(option_value(*socket, ZMQ_TCP_MAXRT), 10000);
    EXPECT_EQ(option_value(*socket, ZMQ_LINGER), 2000);
    EXPECT_EQ(option_value(*socket, ZMQ_MECHANISM), ZMQ_CURVE);
  }
  EXPECT_EQ(option_value(client, ZMQ_IMMEDIATE), 1);
  EXPECT_EQ(option_value(client, ZMQ_RECONNECT_IVL), 200);
  EXPECT_EQ(option_value(client, ZMQ_RECONNECT_IVL_MAX), 30000);
  EXPECT_EQ(option_value(server, ZMQ_CURVE_SERVER), 1);
  EXPECT_EQ(option_value(server, kZapEnforceDomain), 1);
  EXPECT_EQ(server.get(zmq::sockopt::zap_domain), kZapDomain);
  EXPECT_EQ(client.get(zmq::sockopt::routing_id), "") << "identities are not chosen by clients";
  // ROUTER_MANDATORY and ROUTER_HANDOVER cannot be read back: an unknown route must be an error.
  EXPECT_EQ(send_packet(server, std::string("\0nobody", 7), {std::make_shared<const Bytes>(3)}), Sent::kNoRoute);
}

}  // namespace
}  // namespace sutura
