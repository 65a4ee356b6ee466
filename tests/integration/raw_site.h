#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "transport/codec.h"
#include "transport/socket_io.h"

namespace sutura::testing {

/// A site with a good key and no manners: it writes frames on a CURVE socket as it likes.
class RawSite {
 public:
  RawSite(const std::string& endpoint, const std::filesystem::path& server_public, const std::filesystem::path& secret);

  /// Sends a message as number `seq` of this site's session.
  void send(std::uint64_t seq, const Message& message);
  void send(const std::vector<Bytes>& frames);
  /// The next message of this type, past all others; nothing if none comes in time.
  std::optional<Message> receive(MessageType type);
  /// True once the library reports this event (ZMQ_EVENT_DISCONNECTED, ...).
  bool sees(std::uint16_t event);

 private:
  zmq::context_t context_;
  zmq::socket_t dealer_{context_, zmq::socket_type::dealer};
  Monitor monitor_{context_, dealer_, "raw"};
};

/// A control message with this body, whatever it means.
Message control_message(MessageType type, Bytes body);
/// A control body that says that its first text is 4 GiB long: `before` bytes of zeros, then the count.
Bytes size_bomb(std::size_t before);

}  // namespace sutura::testing
