#include "transport/server_loop.h"

#include <sodium.h>
#include <sys/resource.h>

#include <algorithm>

#include "core/error.h"
#include "transport/security.h"
#include "transport/socket_options.h"

namespace sutura {
namespace {

constexpr std::chrono::milliseconds kSelfTestPatience{10000};
/// Messages taken off the socket before the other sockets get their turn.
constexpr int kBatch = 64;
constexpr std::size_t kRetiredRoutes = 16;
/// Descriptors beside one per site: files, sockets of the library, half-open connections.
constexpr rlim_t kSpareDescriptors = 64;

void bind_to(zmq::socket_t& socket, const std::string& endpoint) {
  try {
    socket.bind(endpoint);
  } catch (const zmq::error_t& e) {
    throw Error(Errc::kConfig, "cannot bind " + endpoint + ": " + e.what());
  }
}

void require_descriptors(std::size_t sites) {
  struct rlimit limit {};
  require(::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= sites + kSpareDescriptors, Errc::kResources,
          "too few file descriptors for all sites; raise the limit (ulimit -n)");
}

/// The site that the ZAP handler named for this connection. Read from the payload frame: libzmq 4.3.4 loses it on the
/// identity frame when the socket was polled.
std::string user_of(const zmq::message_t& payload) {
  const char* user = zmq_msg_gets(const_cast<zmq_msg_t*>(payload.handle()), "User-Id");
  return user ? user : "";
}

}  // namespace

ServerLoop::ServerLoop(Exchange& exchange, const std::string& endpoint, ServerSecurity security)
    : exchange_(exchange),
      context_(exchange.settings.io_threads),
      zap_(context_, security.authorised),
      router_(context_, zmq::socket_type::router),
      monitor_(context_, router_, "server") {
  require_tcp(endpoint);
  require_descriptors(security.authorised.size());
  const std::string own_public = public_of(security.secret_key_z85);
  set_options(router_, server_options(exchange.settings));
  secure_server(router_, security.secret_key_z85);
  sodium_memzero(security.secret_key_z85.data(), security.secret_key_z85.size());

  // Same socket, same options, on a port that nobody knows: nothing public is open before the refusal is proven.
  bind_to(router_, "tcp://127.0.0.1:*");
  const std::string rehearsal = router_.get(zmq::sockopt::last_endpoint);
  expect_unknown_key_refused(context_, rehearsal, own_public, &zap_, kSelfTestPatience);
  router_.unbind(rehearsal);

  while (monitor_.next()) {}
  bind_to(router_, endpoint);
  bound_ = router_.get(zmq::sockopt::last_endpoint);
}

void ServerLoop::run(std::stop_token stop) {
  Deadline wakeup = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    std::vector<zmq::pollitem_t> items{{zap_.socket().handle(), 0, ZMQ_POLLIN, 0},
                                       {monitor_.socket().handle(), 0, ZMQ_POLLIN, 0},
                                       {router_.handle(), 0, ZMQ_POLLIN, 0},
                                       {nullptr, exchange_.waker.fd(), ZMQ_POLLIN, 0}};
    zmq::poll(items, until(wakeup, std::chrono::steady_clock::now()));
    exchange_.waker.drain();
    zap_.serve();
    on_events();
    int taken = 0;
    for (; taken < kBatch; ++taken) {
      const auto received = receive_message(router_);
      if (!received) break;
      on_message(*received, std::chrono::steady_clock::now());
    }
    const std::lock_guard lock(exchange_.mutex);
    const Deadline now = std::chrono::steady_clock::now();
    wakeup = taken == kBatch ? now : no_deadline();
    for (const auto& [site, session] : exchange_.sessions) wakeup = std::min(wakeup, pump(*session, router_, now));
    exchange_.drained.notify_all();
  }
}

void ServerLoop::on_events() {
  while (const auto event = monitor_.next()) {
    if (event->event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
      ++open_;
    } else if (event->event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
      ++exchange_.counters.keys_refused;
    } else if (is_failed_handshake(event->event)) {
      ++exchange_.counters.handshakes_failed;
    } else if (event->event == ZMQ_EVENT_DISCONNECTED && open_ > 0) {
      --open_;
      ++exchange_.counters.disconnects;
    }
  }
}

void ServerLoop::on_message(const Received& received, Deadline now) {
  const std::string site = received.frames.size() >= 2 ? user_of(received.frames[1]) : std::string();
  if (site.empty()) {
    ++exchange_.counters.strangers;
    return;
  }
  const std::string route = received.frames[0].to_string();
  std::optional<Decoded> packet;
  try {
    require(!received.too_many, Errc::kProtocol, "malformed message: not 1 to 16 frames");
    packet = decode(received.views(1));
  } catch (const Error& error) {
    const std::lock_guard lock(exchange_.mutex);
    ++exchange_.counters.malformed;
    const auto found = exchange_.sessions.find(site);
    if (found != exchange_.sessions.end() && found->second->route == route) {
      violation(*found->second, route, error);
    } else {
      refuse(route, 0, {error.code(), false, error.what(), ""});
    }
    return;
  }
  const std::lock_guard lock(exchange_.mutex);
  on_packet(site, route, std::move(*packet), now);
}

void ServerLoop::on_packet(const std::string& site, const std::string& route, Decoded&& packet, Deadline now) {
  Session* session = session_for(site, route, packet.header, now);
  if (!session || session->failure) return;
  follow_route(*session, route, now);
  try {
    session->link.on_packet(std::move(packet), now);
  } catch (const Error& error) {
    ++exchange_.counters.malformed;
    violation(*session, route, error);
  }
  session->changed.notify_all();
}

Session* ServerLoop::session_for(const std::string& site, const std::string& route, const FrameHeader& header, Deadline now) {
  const auto found = exchange_.sessions.find(site);
  if (found != exchange_.sessions.end() && found->second->link.run() == header.run) return found->second.get();
  if (!(header.flags & kFlagOpening)) {
    ++exchange_.counters.strangers;
    refuse(route, header.run, {Errc::kNetwork, true, "this session is not known here; begin a new one", ""});
    return nullptr;
  }
  if (found != exchange_.sessions.end()) {
    if (still_alive(*found->second, now)) {
      ++exchange_.counters.contested;
      refuse(route, header.run, {Errc::kAuthentication, true, "another session with this key is alive", ""});
      return nullptr;
    }
    found->second->replaced = true;
    found->second->changed.notify_all();
  }
  auto fresh = std::make_shared<Session>(site, exchange_.settings, LinkRole::kLeads, header.run, exchange_.counters, now);
  fresh->route = route;
  fresh->connected = true;
  exchange_.sessions[site] = fresh;
  exchange_.newcomers.push_back(fresh);
  exchange_.arrived.notify_all();
  return fresh.get();
}

bool ServerLoop::still_alive(Session& session, Deadline now) {
  if (session.failure || session.replaced || session.link.peer_said_goodbye() || session.link.refused()) return false;
  if (!session.connected || now >= session.link.silent_at()) return false;
  if (send_packet(router_, session.route, session.link.sign_of_life()) != Sent::kNoRoute) return true;
  session.connected = false;
  return false;
}

void ServerLoop::follow_route(Session& session, const std::string& route, Deadline now) {
  if (session.route == route && session.connected) return;
  if (std::find(session.retired.begin(), session.retired.end(), route) != session.retired.end()) return;
  if (session.route != route) {
    session.retired.push_back(session.route);
    if (session.retired.size() > kRetiredRoutes) session.retired.pop_front();
    session.route = route;
    ++exchange_.counters.reconnects;
  }
  session.connected = true;
  session.waiting.reset();
  session.link.on_reconnect(now);
}

void ServerLoop::violation(Session& session, const std::string& route, const Error& error) {
  if (session.failure) return;
  refuse(route, session.link.run(), {error.code(), false, error.what(), ""});
  fail(session, Error(error.code(), "site " + session.site + ": " + error.what()));
}

void ServerLoop::refuse(const std::string& route, std::uint64_t run, const Reject& reject) {
  // Best effort: a peer that cannot be reached needs no refusal.
  (void)send_packet(router_, route, link_refusal(run, exchange_.settings.incarnation, reject));
}

}  // namespace sutura
