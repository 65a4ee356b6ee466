#pragma once
#include <stop_token>

#include "transport/io_thread.h"
#include "transport/session.h"
#include "transport/zap.h"

namespace sutura {

/// The I/O thread of a server: owns the ROUTER socket, the ZAP handler and the monitor. Made, run and destroyed on one thread.
class ServerLoop {
 public:
  /// Opens the sockets, runs the self-test on a loopback port, and only then binds `endpoint`.
  ServerLoop(Exchange& exchange, const std::string& endpoint, ServerSecurity security);
  const std::string& bound_endpoint() const { return bound_; }
  void run(std::stop_token stop);

 private:
  void on_events();
  void on_message(const Received& received, Deadline now);
  void on_packet(const std::string& site, const std::string& route, Decoded&& packet, Deadline now);
  /// The session that the packet belongs to, made if it opens one; nullptr if it belongs to none.
  Session* session_for(const std::string& site, const std::string& route, const FrameHeader& header, Deadline now);
  bool still_alive(Session& session, Deadline now);
  void follow_route(Session& session, const std::string& route, Deadline now);
  void violation(Session& session, const std::string& route, const Error& error);
  void refuse(const std::string& route, std::uint64_t run, const Reject& reject);

  Exchange& exchange_;
  zmq::context_t context_;
  ZapHandler zap_;
  zmq::socket_t router_;
  Monitor monitor_;
  std::string bound_;
  int open_ = 0;  // connections past their handshake
};

}  // namespace sutura
