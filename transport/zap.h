#pragma once
#include <map>
#include <string>

#include <zmq.hpp>

namespace sutura {

/// Answers the socket library's question "may this key in?" (ZeroMQ RFC 27). Lives on the thread that owns the sockets and
/// must be bound before any of them.
class ZapHandler {
 public:
  /// authorised: public key (z85) -> site.
  ZapHandler(zmq::context_t& context, std::map<std::string, std::string> authorised);
  /// Answers all waiting requests; returns how many were refused.
  int serve();
  zmq::socket_t& socket() { return reply_; }

 private:
  zmq::socket_t reply_;
  std::map<std::string, std::string> authorised_;
};

/// Connects to `endpoint` with a random key and returns only if that was refused because of the key. `zap` is served meanwhile
/// if there is one. Errors: kAuthentication if the connection was accepted, or nothing was said before the deadline.
void expect_unknown_key_refused(zmq::context_t& context, const std::string& endpoint, const std::string& server_public_z85,
                                ZapHandler* zap, std::chrono::milliseconds patience);

}  // namespace sutura
