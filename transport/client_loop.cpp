#include "transport/client_loop.h"

#include <sodium.h>

#include <algorithm>

#include "core/error.h"
#include "transport/security.h"
#include "transport/socket_options.h"

namespace sutura {
namespace {

constexpr int kBatch = 64;
constexpr std::chrono::milliseconds kShortestRedial{100};

}  // namespace

ClientLoop::ClientLoop(Exchange& exchange, Session& session, ClientAddress address)
    : exchange_(exchange),
      session_(session),
      context_(exchange.settings.io_threads),
      dealer_(context_, zmq::socket_type::dealer),
      monitor_(context_, dealer_, "client"),
      endpoint_(address.endpoint),
      redial_delay_(std::max(kShortestRedial, exchange.settings.reconnect)) {
  require_tcp(endpoint_);
  set_options(dealer_, client_options(exchange.settings));
  secure_client(dealer_, address.server_public_z85, address.own_secret_z85);
  fingerprint_ = fingerprint(public_of(address.own_secret_z85));
  sodium_memzero(address.own_secret_z85.data(), address.own_secret_z85.size());
  try {
    dealer_.connect(endpoint_);
  } catch (const zmq::error_t& e) {
    throw Error(Errc::kConfig, "cannot connect to " + endpoint_ + ": " + e.what());
  }
}

void ClientLoop::run(std::stop_token stop) {
  Deadline wakeup = std::chrono::steady_clock::now();
  while (!stop.stop_requested()) {
    std::vector<zmq::pollitem_t> items{{monitor_.socket().handle(), 0, ZMQ_POLLIN, 0},
                                       {dealer_.handle(), 0, ZMQ_POLLIN, 0},
                                       {nullptr, exchange_.waker.fd(), ZMQ_POLLIN, 0}};
    zmq::poll(items, until(wakeup, std::chrono::steady_clock::now()));
    exchange_.waker.drain();
    on_events();
    redial();
    int taken = 0;
    for (; taken < kBatch; ++taken) {
      const auto received = receive_message(dealer_);
      if (!received) break;
      on_message(*received, std::chrono::steady_clock::now());
    }
    const std::lock_guard lock(exchange_.mutex);
    const Deadline now = std::chrono::steady_clock::now();
    wakeup = std::min({taken == kBatch ? now : no_deadline(), pump(session_, dealer_, now), redial_at_});
    exchange_.drained.notify_all();
  }
  // What was not acknowledged by now has had its time.
  const std::lock_guard lock(exchange_.mutex);
  if (session_.failure) dealer_.set(zmq::sockopt::linger, 0);
}

void ClientLoop::on_events() {
  while (const auto event = monitor_.next()) {
    const std::lock_guard lock(exchange_.mutex);
    const Deadline now = std::chrono::steady_clock::now();
    if (event->event == ZMQ_EVENT_CONNECT_RETRIED) {
      redial_at_ = no_deadline();
    } else if (event->event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) {
      if (succeeded_) ++exchange_.counters.reconnects;
      succeeded_ = true;
      failures_ = 0;
      session_.connected = true;
      session_.waiting.reset();
      session_.link.on_reconnect(now);
      redial_at_ = no_deadline();
      redial_delay_ = std::max(kShortestRedial, exchange_.settings.reconnect);
    } else if (event->event == ZMQ_EVENT_DISCONNECTED) {
      ++exchange_.counters.disconnects;
      session_.connected = false;
      if (!given_up_) redial_at_ = now + redial_delay_;
    } else if (event->event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
      ++exchange_.counters.keys_refused;
      give_up(
          Error(Errc::kAuthentication,
                "the server refused this key; ask its operator to authorise the public key with fingerprint " + fingerprint_));
    } else if (is_failed_handshake(event->event)) {
      ++exchange_.counters.handshakes_failed;
      if (++failures_ >= exchange_.settings.handshake_tries && !succeeded_)
        give_up(Error(Errc::kAuthentication, "wrong server key or not a Sutura server at " + endpoint_ + " (" +
                                                 std::to_string(failures_) + " handshakes failed)"));
    }
  }
}

void ClientLoop::give_up(const Error& error) {
  fail(session_, error);
  if (given_up_) return;
  given_up_ = true;
  redial_at_ = no_deadline();
  dealer_.disconnect(endpoint_);
}

void ClientLoop::redial() {
  if (std::chrono::steady_clock::now() < redial_at_) return;
  redial_at_ = no_deadline();
  redial_delay_ = std::min(2 * redial_delay_, std::max(redial_delay_, exchange_.settings.reconnect_max));
  dealer_.disconnect(endpoint_);
  dealer_.connect(endpoint_);
}

void ClientLoop::on_message(const Received& received, Deadline now) {
  const std::lock_guard lock(exchange_.mutex);
  if (session_.failure) return;
  try {
    require(!received.too_many, Errc::kProtocol, "malformed message: not 1 to 16 frames");
    Decoded packet = decode(received.views(0));
    // Run 0: the server could not read our message far enough to know its session.
    const bool ours = packet.header.run == session_.link.run() ||
                      (packet.header.run == 0 && packet.header.type == MessageType::kReject && packet.header.seq == 0);
    if (!ours) {
      ++exchange_.counters.strangers;
      return;
    }
    session_.link.on_packet(std::move(packet), now);
  } catch (const Error& error) {
    ++exchange_.counters.malformed;
    const Reject reject{error.code(), false, error.what(), ""};
    (void)send_packet(dealer_, "", link_refusal(session_.link.run(), session_.link.incarnation(), reject));
    fail(session_, Error(error.code(), std::string("the server: ") + error.what()));
  }
  session_.changed.notify_all();
}

}  // namespace sutura
