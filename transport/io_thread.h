#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/error.h"
#include "transport/channel.h"
#include "transport/link_settings.h"

namespace sutura {

struct ServerSecurity {
  std::string secret_key_z85;
  std::map<std::string, std::string> authorised;  ///< public key (z85) -> site
};

/// The server's one port: a ROUTER socket with CURVE and its ZAP handler on a thread of their own.
/// The constructor returns when the port is bound, after the server has tried to connect to itself with a random key and was
/// refused. Sessions belong to a key, not to a connection: a client that comes back goes on where it was.
/// A peer that breaks the protocol loses its session (kReject is sent, its channel throws); the others go on.
/// Threads: any thread may call; each channel is used by one thread at a time. Channels must not outlive the endpoint.
/// The destructor says goodbye to everybody and waits, at most LinkSettings::drain, until all messages are acknowledged.
class ServerEndpoint {
 public:
  /// Errors: kConfig for an endpoint other than tcp://, or one that cannot be bound; kAuthentication for bad keys, no
  /// authorised site, or a failed self-test; kResources if there are too few file descriptors for all sites.
  ServerEndpoint(const std::string& endpoint, ServerSecurity security, const LinkSettings& settings = {});
  ~ServerEndpoint();
  ServerEndpoint(const ServerEndpoint&) = delete;
  ServerEndpoint& operator=(const ServerEndpoint&) = delete;

  /// The endpoint with the port that was taken: tcp://127.0.0.1:* resolves.
  std::string bound_endpoint() const;
  /// Waits until an authorised site begins a session (says anything at all); returns its channel and sets `site`.
  /// nullptr when the deadline passed or stop() was called. A site that restarts begins a new session; its old channel says
  /// kPeerGone from then on.
  std::unique_ptr<Channel> accept(std::string& site, Deadline deadline);
  /// Makes all blocked and later calls return kStopped (accept: nullptr). Callable from any thread.
  void stop();
  const LinkCounters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// A client's one connection: a DEALER socket with CURVE on a thread of its own, which connects again and again.
/// Threads: channel() is used by one thread at a time; stop() may be called from any.
/// Channel errors, besides the outcomes: kAuthentication if the server refused this key, or if no handshake ever succeeded in
/// LinkSettings::handshake_tries tries; what the server said in a kReject; kProtocol if it broke the protocol.
/// A server that restarted is kPeerGone: make a new endpoint.
class ClientEndpoint {
 public:
  /// Errors: kConfig for an endpoint other than tcp://, kAuthentication for bad keys.
  ClientEndpoint(const std::string& endpoint, const std::string& server_public_z85, const std::string& own_secret_z85,
                 const LinkSettings& settings = {});
  ~ClientEndpoint();
  ClientEndpoint(const ClientEndpoint&) = delete;
  ClientEndpoint& operator=(const ClientEndpoint&) = delete;

  Channel& channel();
  void stop();
  const LinkCounters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sutura
