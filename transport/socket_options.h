#pragma once
#include <string>
#include <vector>

#include <zmq.hpp>

#include "transport/link_settings.h"

namespace sutura {

/// ZMQ_ZAP_ENFORCE_DOMAIN: Debian's header hides it behind the draft switch, the library has it. Without it a server whose
/// ZAP handler is missing accepts everybody.
inline constexpr int kZapEnforceDomain = 93;
inline constexpr const char* kZapDomain = "sutura";
inline constexpr const char* kZapEndpoint = "inproc://zeromq.zap.01";

/// One integer option of a socket and its value.
struct SocketOption {
  int option;
  std::int64_t value;
};

/// Frames above the plan's largest by this much end the connection.
inline constexpr std::size_t kFrameSlack = 4096;

/// The settings of every socket that meets the network, as data so that a test can read them back.
std::vector<SocketOption> client_options(const LinkSettings& settings);
std::vector<SocketOption> server_options(const LinkSettings& settings);
void set_options(zmq::socket_t& socket, const std::vector<SocketOption>& options);
/// The value that the library reports for an integer option, whatever its width.
std::int64_t option_value(const zmq::socket_t& socket, int option);

/// Sets the CURVE keys (z85). Errors: kAuthentication if a key is not a key.
void secure_server(zmq::socket_t& socket, const std::string& secret_z85);
void secure_client(zmq::socket_t& socket, const std::string& server_public_z85, const std::string& secret_z85);

/// Errors: kConfig for anything but tcp://.
void require_tcp(const std::string& endpoint);

}  // namespace sutura
