#include "transport/session.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "core/error.h"

namespace sutura {

Waker::Waker() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  require(fd_ >= 0, Errc::kResources, "no file descriptor is left for the I/O thread");
}
Waker::~Waker() { ::close(fd_); }

void Waker::wake() noexcept {
  const std::uint64_t one = 1;
  // A full counter (EAGAIN) means that a wake-up is pending anyway.
  if (::write(fd_, &one, sizeof one) < 0) return;
}

void Waker::drain() noexcept {
  std::uint64_t count = 0;
  if (::read(fd_, &count, sizeof count) < 0) return;
}

SessionChannel::SessionChannel(Exchange& exchange, std::shared_ptr<Session> session)
    : exchange_(exchange), session_(std::move(session)) {}

SessionChannel::~SessionChannel() {
  {
    const std::lock_guard lock(exchange_.mutex);
    session_->link.close(std::chrono::steady_clock::now());
  }
  exchange_.waker.wake();
}

std::optional<Outcome> SessionChannel::end() const {
  const Link& link = session_->link;
  if (session_->failure) throw *session_->failure;
  if (link.refused()) throw refusal(*link.refused());
  if (exchange_.stopped) return Outcome::kStopped;
  if (session_->replaced || link.peer_forgot()) return Outcome::kPeerGone;
  if (link.peer_said_goodbye()) return Outcome::kPeerGone;
  if (std::chrono::steady_clock::now() >= link.silent_at()) return Outcome::kPeerGone;
  return std::nullopt;
}

Outcome SessionChannel::send(Message&& message, Deadline deadline) {
  require(message.type != MessageType::kAck, Errc::kInvalidArgument, "acknowledgements are the link's own");
  // Checksums and the copy behind the descriptor are made on the caller's thread, outside the lock.
  EncodedPayload payload = encode_payload(message);
  message.tensors.clear();
  for (const SharedFrame& frame : payload.frames)
    require(frame->size() <= exchange_.settings.max_frame_bytes, Errc::kInvalidArgument,
            "a tensor is larger than the plan's largest frame");
  {
    std::unique_lock lock(exchange_.mutex);
    while (true) {
      if (const auto outcome = end()) return *outcome;
      if (session_->link.can_send() || payload.type == MessageType::kGoodbye) break;
      if (session_->link.closing()) throw Error(Errc::kInternal, "a message was sent after the goodbye");
      const Deadline until = std::min(deadline, session_->link.silent_at());
      if (session_->changed.wait_until(lock, until) == std::cv_status::timeout && std::chrono::steady_clock::now() >= deadline &&
          !session_->link.can_send())
        return Outcome::kTimeout;
    }
    const auto now = std::chrono::steady_clock::now();
    if (payload.type == MessageType::kGoodbye) {
      session_->link.close(now);
    } else {
      session_->link.submit(std::move(payload), now);
    }
  }
  exchange_.waker.wake();
  return Outcome::kOk;
}

std::variant<Message, Outcome> SessionChannel::receive(const Tag& tag, Deadline deadline) {
  std::unique_lock lock(exchange_.mutex);
  while (true) {
    const auto now = std::chrono::steady_clock::now();
    // What arrived before the end is still good; only an interrupt goes first.
    if (exchange_.stopped) return Outcome::kStopped;
    if (auto message = session_->link.take(tag, now)) {
      const bool tell_peer = session_->connected && session_->link.next_wakeup(now) <= now;
      lock.unlock();
      if (tell_peer) exchange_.waker.wake();
      return std::move(*message);
    }
    if (const auto outcome = end()) return *outcome;
    if (now >= deadline) return Outcome::kTimeout;
    session_->changed.wait_until(lock, std::min(deadline, session_->link.silent_at()));
  }
}

void stop(Exchange& exchange) {
  const std::lock_guard lock(exchange.mutex);
  exchange.stopped = true;
  for (const auto& [site, session] : exchange.sessions) session->changed.notify_all();
  exchange.arrived.notify_all();
}

void fail(Session& session, const Error& error) {
  if (!session.failure) session.failure = error;
  session.changed.notify_all();
}

void drain(Exchange& exchange) {
  const Deadline deadline = deadline_in(exchange.settings.drain);
  std::unique_lock lock(exchange.mutex);
  for (const auto& [site, session] : exchange.sessions) session->link.close(std::chrono::steady_clock::now());
  exchange.waker.wake();
  exchange.drained.wait_until(lock, deadline, [&] {
    return std::all_of(exchange.sessions.begin(), exchange.sessions.end(), [](const auto& entry) {
      const Session& session = *entry.second;
      const bool left = session.link.peer_said_goodbye() && !session.connected;
      return session.failure || left || session.link.drained();
    });
  });
}

Deadline pump(Session& session, zmq::socket_t& socket, Deadline now) {
  // A full socket queue empties by itself; ROUTER sockets cannot tell when.
  constexpr std::chrono::milliseconds kRetry{5};
  while (session.connected && !session.failure) {
    if (!session.waiting) session.waiting = session.link.next_packet(now);
    if (!session.waiting) return session.link.next_wakeup(now);
    switch (send_packet(socket, session.route, *session.waiting)) {
      case Sent::kYes: session.waiting.reset(); break;
      case Sent::kNoRoom: return now + kRetry;
      case Sent::kNoRoute:
        // The link sends everything unacknowledged again when the peer is back.
        session.waiting.reset();
        session.connected = false;
        break;
    }
  }
  return no_deadline();
}

std::vector<SharedFrame> link_refusal(std::uint64_t run, std::uint32_t incarnation, const Reject& reject) {
  FrameHeader header;
  header.run = run;
  header.incarnation = incarnation;
  return encode(header, to_message(reject));
}

}  // namespace sutura
