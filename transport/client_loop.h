#pragma once
#include <stop_token>

#include "transport/session.h"

namespace sutura {

/// Where a client dials and with which keys.
struct ClientAddress {
  std::string endpoint;
  std::string server_public_z85;
  std::string own_secret_z85;
};

/// The I/O thread of a client: owns the DEALER socket and its monitor. Made, run and destroyed on one thread.
class ClientLoop {
 public:
  ClientLoop(Exchange& exchange, Session& session, ClientAddress address);
  void run(std::stop_token stop);

 private:
  void on_events();
  void on_message(const Received& received, Deadline now);
  void give_up(const Error& error);
  void redial();

  Exchange& exchange_;
  Session& session_;
  zmq::context_t context_;
  zmq::socket_t dealer_;
  Monitor monitor_;
  std::string endpoint_;
  std::string fingerprint_;
  int failures_ = 0;        // handshakes since the latest success
  bool succeeded_ = false;  // at least once: then a failure is an outage, not a wrong key
  bool given_up_ = false;
  // The library dials again by itself after a lost connection, but never after a broken protocol (a corrupted byte is enough).
  // It reports a new attempt at once, so that a disconnect without that report is ours to repair.
  Deadline redial_at_ = no_deadline();
  std::chrono::milliseconds redial_delay_;
};

}  // namespace sutura
