#pragma once
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "core/clock.h"
#include "transport/codec.h"

namespace sutura {

/// One message off a socket. More frames than a message may have are read and thrown away; `too_many` says so.
struct Received {
  std::vector<zmq::message_t> frames;
  bool too_many = false;
  /// Views of the frames from `first` on.
  std::vector<ByteSpan> views(std::size_t first) const;
};

/// The next message, or nothing if none waits.
std::optional<Received> receive_message(zmq::socket_t& socket);

enum class Sent : std::uint8_t { kYes, kNoRoom, kNoRoute };
/// Hands a packet to the socket without blocking, with `route` in front unless it is empty. Large frames are not copied.
Sent send_packet(zmq::socket_t& socket, const std::string& route, const std::vector<SharedFrame>& packet);

/// What the socket library reports about connections.
struct SocketEvent {
  std::uint16_t event;
  std::uint32_t value;
};

/// Listens to a socket's events through its own inproc pair. Made before the socket binds or connects and destroyed before the
/// socket: an event without a listener blocks the library's I/O thread for good.
class Monitor {
 public:
  Monitor(zmq::context_t& context, zmq::socket_t& socket, const std::string& name);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;
  std::optional<SocketEvent> next();
  zmq::socket_t& socket() { return pair_; }

 private:
  void* watched_;
  zmq::socket_t pair_;
};

bool is_failed_handshake(std::uint16_t event);

/// Poll timeout in milliseconds, rounded up, between 0 and one minute.
std::chrono::milliseconds until(Deadline wakeup, Deadline now);

}  // namespace sutura
