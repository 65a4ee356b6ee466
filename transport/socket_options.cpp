#include "transport/socket_options.h"

#include <algorithm>

#include "core/error.h"
#include "transport/security.h"

namespace sutura {
namespace {

/// The library keeps a time to live in 16 bits of tenths of a second.
constexpr std::int64_t kLongestFrameTime = 3600 * 1000;

bool is_wide(int option) { return option == ZMQ_MAXMSGSIZE; }

std::vector<SocketOption> common_options(const LinkSettings& s) {
  const auto window = static_cast<std::int64_t>(s.window) + 2;
  const std::int64_t patience = 5 * s.socket_heartbeat.count();
  const std::int64_t frame_time = std::min<std::int64_t>(s.frame_time().count(), kLongestFrameTime);
  return {
      {ZMQ_MAXMSGSIZE, static_cast<std::int64_t>(s.max_frame_bytes + kFrameSlack)},
      {ZMQ_RCVHWM, window},
      {ZMQ_SNDHWM, window},
      {ZMQ_HANDSHAKE_IVL, s.handshake_timeout.count()},
      {ZMQ_HEARTBEAT_IVL, s.socket_heartbeat.count()},
      {ZMQ_HEARTBEAT_TIMEOUT, patience + frame_time},
      // The library counts the time to live in tenths of a second.
      {ZMQ_HEARTBEAT_TTL, (patience + s.socket_heartbeat.count() + frame_time) / 100 * 100},
      // Bytes that the other kernel has not confirmed: a dead network is found in this time, however slow a live one may be.
      {ZMQ_TCP_MAXRT, patience},
      {ZMQ_LINGER, s.drain.count()},
  };
}

void set(zmq::socket_t& socket, int option, const void* value, std::size_t size) {
  if (zmq_setsockopt(socket.handle(), option, value, size) != 0)
    throw Error(Errc::kInternal, "the socket library refused option " + std::to_string(option));
}

void set_text(zmq::socket_t& socket, int option, const std::string& text) { set(socket, option, text.data(), text.size()); }

void set_key(zmq::socket_t& socket, int option, const std::string& z85) {
  set(socket, option, z85.c_str(), z85.size() + 1);  // 41 bytes: z85 with its terminating zero
}

}  // namespace

std::vector<SocketOption> client_options(const LinkSettings& settings) {
  std::vector<SocketOption> options = common_options(settings);
  options.push_back({ZMQ_IMMEDIATE, 1});
  options.push_back({ZMQ_RECONNECT_IVL, settings.reconnect.count()});
  options.push_back({ZMQ_RECONNECT_IVL_MAX, settings.reconnect_max.count()});
  return options;
}

std::vector<SocketOption> server_options(const LinkSettings& settings) {
  std::vector<SocketOption> options = common_options(settings);
  options.push_back({ZMQ_ROUTER_MANDATORY, 1});
  options.push_back({ZMQ_ROUTER_HANDOVER, 0});
  options.push_back({kZapEnforceDomain, 1});
  return options;
}

void set_options(zmq::socket_t& socket, const std::vector<SocketOption>& options) {
  for (const auto& [option, value] : options) {
    const int narrow = static_cast<int>(value);
    is_wide(option) ? set(socket, option, &value, sizeof value) : set(socket, option, &narrow, sizeof narrow);
  }
}

std::int64_t option_value(const zmq::socket_t& socket, int option) {
  std::int64_t wide = 0;
  int narrow = 0;
  std::size_t size = is_wide(option) ? sizeof wide : sizeof narrow;
  void* to = is_wide(option) ? static_cast<void*>(&wide) : static_cast<void*>(&narrow);
  if (zmq_getsockopt(const_cast<void*>(socket.handle()), option, to, &size) != 0)
    throw Error(Errc::kInternal, "the socket library does not report option " + std::to_string(option));
  return is_wide(option) ? wide : narrow;
}

void secure_server(zmq::socket_t& socket, const std::string& secret_z85) {
  require_key(secret_z85, "the server's secret key");
  const int on = 1;
  set(socket, ZMQ_CURVE_SERVER, &on, sizeof on);
  set_key(socket, ZMQ_CURVE_SECRETKEY, secret_z85);
  set_text(socket, ZMQ_ZAP_DOMAIN, kZapDomain);
}

void secure_client(zmq::socket_t& socket, const std::string& server_public_z85, const std::string& secret_z85) {
  require_key(server_public_z85, "the server's public key");
  require_key(secret_z85, "this site's secret key");
  set_key(socket, ZMQ_CURVE_SERVERKEY, server_public_z85);
  set_key(socket, ZMQ_CURVE_PUBLICKEY, public_of(secret_z85));
  set_key(socket, ZMQ_CURVE_SECRETKEY, secret_z85);
}

void require_tcp(const std::string& endpoint) {
  if (!endpoint.starts_with("tcp://"))
    throw Error(Errc::kConfig, "an endpoint must begin with tcp:// (for example tcp://0.0.0.0:7000)");
}

}  // namespace sutura
