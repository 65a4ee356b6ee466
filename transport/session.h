#pragma once
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "transport/channel.h"
#include "transport/link.h"
#include "transport/socket_io.h"

namespace sutura {

/// Wakes a thread that polls sockets (an eventfd: any thread may call wake).
class Waker {
 public:
  Waker();
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;
  void wake() noexcept;
  void drain() noexcept;
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// One peer's stream of messages. Guarded by the exchange's mutex.
struct Session {
  Session(std::string site_name, const LinkSettings& settings, LinkRole role, std::uint64_t run, LinkCounters& counters,
          Link::Time now)
      : site(std::move(site_name)), link(settings, role, run, counters, now) {}

  std::string site;
  Link link;
  std::condition_variable changed;
  std::string route;                ///< routing id of the connection in use (server)
  std::deque<std::string> retired;  ///< earlier ones; a late frame on them must not turn the route back
  bool connected = false;
  std::optional<std::vector<SharedFrame>> waiting;  ///< a packet that the socket had no room for
  std::optional<Error> failure;                     ///< what ended the session, thrown by the channel
  bool replaced = false;                            ///< the site began a newer session
};

/// What the I/O thread and the application threads of one endpoint share; everything but counters and waker is under `mutex`.
struct Exchange {
  explicit Exchange(const LinkSettings& s) : settings(s) {}
  const LinkSettings settings;
  LinkCounters counters;
  Waker waker;
  std::mutex mutex;
  std::condition_variable drained;  ///< a session may have become idle
  std::condition_variable arrived;  ///< a session waits in `newcomers`
  // shared_ptr: a channel keeps its session while the I/O thread may already have put a newer one in its place.
  std::map<std::string, std::shared_ptr<Session>> sessions;  ///< by site; a client has one
  std::deque<std::shared_ptr<Session>> newcomers;            ///< not yet accepted
  bool stopped = false;
};

/// A channel of an endpoint; closing it says goodbye without waiting.
class SessionChannel final : public Channel {
 public:
  SessionChannel(Exchange& exchange, std::shared_ptr<Session> session);
  ~SessionChannel() override;
  SessionChannel(const SessionChannel&) = delete;
  SessionChannel& operator=(const SessionChannel&) = delete;
  [[nodiscard]] Outcome send(Message&& message, Deadline deadline) override;
  [[nodiscard]] std::variant<Message, Outcome> receive(const Tag& tag, Deadline deadline) override;

 private:
  /// Why waiting makes no sense any more, or nothing. Throws the session's failure.
  std::optional<Outcome> end() const;

  Exchange& exchange_;
  std::shared_ptr<Session> session_;
};

/// Makes all calls return kStopped.
void stop(Exchange& exchange);
/// Ends a session with an error that its channel throws.
void fail(Session& session, const Error& error);
/// Says goodbye on all sessions and waits until nothing is left that a peer needs, at most LinkSettings::drain.
void drain(Exchange& exchange);
/// Transmits what the session's link has to say. Returns when it wants to be asked again.
Deadline pump(Session& session, zmq::socket_t& socket, Deadline now);
/// A message that refuses a link itself, outside the stream: sequence number 0.
std::vector<SharedFrame> link_refusal(std::uint64_t run, std::uint32_t incarnation, const Reject& reject);

}  // namespace sutura
