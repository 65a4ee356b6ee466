#include "transport/socket_io.h"

#include <algorithm>

#include "core/error.h"

namespace sutura {
namespace {

/// Below this a copy is cheaper than a reference-counted frame.
constexpr std::size_t kCopyBelow = 4096;

constexpr int kWatched = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                         ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_DISCONNECTED |
                         ZMQ_EVENT_CONNECT_RETRIED;

void release_frame(void*, void* hint) { delete static_cast<SharedFrame*>(hint); }

zmq::message_t to_zmq(const SharedFrame& frame) {
  if (frame->size() < kCopyBelow) return zmq::message_t(frame->data(), frame->size());
  // The library only reads the bytes; its callback, on its own thread, lets go of them.
  return zmq::message_t(const_cast<std::byte*>(frame->data()), frame->size(), release_frame, new SharedFrame(frame));
}

}  // namespace

std::vector<ByteSpan> Received::views(std::size_t first) const {
  std::vector<ByteSpan> out;
  for (std::size_t i = first; i < frames.size(); ++i)
    out.emplace_back(static_cast<const std::byte*>(frames[i].data()), frames[i].size());
  return out;
}

std::optional<Received> receive_message(zmq::socket_t& socket) {
  Received out;
  bool more = true;
  while (more) {
    zmq::message_t frame;
    // Once the first part is there, all are.
    if (!socket.recv(frame, zmq::recv_flags::dontwait)) return std::nullopt;
    more = frame.more();
    if (out.frames.size() <= kMaxFrames) {
      out.frames.push_back(std::move(frame));
    } else {
      out.too_many = true;
    }
  }
  return out;
}

Sent send_packet(zmq::socket_t& socket, const std::string& route, const std::vector<SharedFrame>& packet) {
  try {
    if (!route.empty() && !socket.send(zmq::buffer(route), zmq::send_flags::sndmore | zmq::send_flags::dontwait))
      return Sent::kNoRoom;
    for (std::size_t i = 0; i < packet.size(); ++i) {
      zmq::message_t frame = to_zmq(packet[i]);
      const auto flags = i + 1 < packet.size() ? zmq::send_flags::sndmore | zmq::send_flags::dontwait : zmq::send_flags::dontwait;
      if (!socket.send(frame, flags)) {
        require(i == 0, Errc::kInternal, "the socket library took half a message");
        return Sent::kNoRoom;
      }
    }
  } catch (const zmq::error_t& e) {
    if (e.num() == EHOSTUNREACH) return Sent::kNoRoute;
    throw Error(Errc::kNetwork, std::string("sending failed: ") + e.what());
  }
  return Sent::kYes;
}

Monitor::Monitor(zmq::context_t& context, zmq::socket_t& socket, const std::string& name)
    : watched_(socket.handle()), pair_(context, zmq::socket_type::pair) {
  const std::string endpoint = "inproc://monitor-" + name;
  if (zmq_socket_monitor(socket.handle(), endpoint.c_str(), kWatched) != 0)
    throw Error(Errc::kInternal, "the socket cannot be watched");
  pair_.set(zmq::sockopt::linger, 0);
  pair_.connect(endpoint);
}

Monitor::~Monitor() { zmq_socket_monitor(watched_, nullptr, 0); }

std::optional<SocketEvent> Monitor::next() {
  const auto message = receive_message(pair_);
  if (!message || message->frames[0].size() != 6) return std::nullopt;
  const auto view = message->views(0)[0];
  return SocketEvent{load_le<std::uint16_t>(view, 0), load_le<std::uint32_t>(view, 2)};
}

bool is_failed_handshake(std::uint16_t event) {
  return event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL ||
         event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
}

std::chrono::milliseconds until(Deadline wakeup, Deadline now) {
  using std::chrono::milliseconds;
  constexpr milliseconds kLongest{60000};
  if (wakeup <= now) return milliseconds{0};
  if (wakeup - now > kLongest) return kLongest;
  return std::chrono::ceil<milliseconds>(wakeup - now);
}

}  // namespace sutura
