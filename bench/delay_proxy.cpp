#include "bench/delay_proxy.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "core/error.h"

namespace sutura {
namespace {

using Clock = std::chrono::steady_clock;

/// A chunk is delivered when its last byte is: small, so that a fast line is not turned into a bursty one.
constexpr std::size_t kChunk = 16 * 1024;
/// Beyond a round trip of bytes in flight: what keeps the line busy while this process waits for its turn on the CPU.
constexpr std::size_t kSlack = 256 * 1024;

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

/// Address of "HOST:PORT" as the bytes of a sockaddr.
std::vector<char> resolve(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  require(colon != std::string::npos && colon > 0 && colon + 1 < text.size(), Errc::kUsage,
          "an address is HOST:PORT, not '" + text + "'");
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(text.substr(0, colon).c_str(), text.substr(colon + 1).c_str(), &hints, &found);
  require(failed == 0 && found != nullptr, Errc::kUsage, "no address '" + text + "': " + ::gai_strerror(failed));
  const char* bytes = reinterpret_cast<const char*>(found->ai_addr);
  std::vector<char> address(bytes, bytes + found->ai_addrlen);
  ::freeaddrinfo(found);
  return address;
}

const sockaddr* as_address(const std::vector<char>& bytes) { return reinterpret_cast<const sockaddr*>(bytes.data()); }

int stream_socket() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  require(fd >= 0, Errc::kResources, std::string("no socket: ") + std::strerror(errno));
  return fd;
}

/// Delay is the model's alone: the kernel adds none by waiting for more bytes.
void send_at_once(int fd) {
  const int on = 1;
  (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

timespec time_left(Clock::time_point until, Clock::time_point now) {
  const auto left = std::chrono::duration_cast<std::chrono::nanoseconds>(std::max(until, now) - now).count();
  return {static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
}

pollfd poll_entry(int fd, const DelayPipe& out, const DelayPipe& in) {
  const short events = static_cast<short>((out.wants_input() ? POLLIN : 0) | (in.blocked() ? POLLOUT : 0));
  // Nothing wanted: a descriptor of -1, or a hang-up would be reported again and again.
  return {events != 0 ? fd : -1, events, 0};
}

}  // namespace

void FileDescriptor::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

DelayPipe::DelayPipe(int from, int to, const Line& line)
    : from_(from),
      to_(to),
      line_(line),
      capacity_(kSlack + static_cast<std::size_t>(
                             std::ceil(line.bytes_per_second * std::chrono::duration<double>(2 * line.one_way).count()))) {}

bool DelayPipe::take_in(Time now) {
  std::array<char, kChunk> buffer;
  const ssize_t n = ::recv(from_, buffer.data(), buffer.size(), 0);
  if (n < 0) return would_block(errno);
  const auto serialisation =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(static_cast<double>(n) / line_.bytes_per_second));
  line_free_ = std::max(line_free_, now) + serialisation;
  // The end of the stream travels like a byte without size: an empty chunk.
  chunks_.push_back({std::vector<char>(buffer.begin(), buffer.begin() + n), 0, line_free_ + line_.one_way});
  held_ += static_cast<std::size_t>(n);
  ended_ = n == 0;
  return true;
}

bool DelayPipe::deliver(Time now) {
  blocked_ = false;
  while (!chunks_.empty() && chunks_.front().due <= now) {
    Chunk& chunk = chunks_.front();
    if (chunk.bytes.empty()) {
      shut_ = true;
      chunks_.pop_front();
      return ::shutdown(to_, SHUT_WR) == 0;
    }
    const ssize_t n = ::send(to_, chunk.bytes.data() + chunk.written, chunk.bytes.size() - chunk.written, MSG_NOSIGNAL);
    if (n < 0) {
      blocked_ = would_block(errno);
      return blocked_;
    }
    chunk.written += static_cast<std::size_t>(n);
    held_ -= static_cast<std::size_t>(n);
    delivered_ += static_cast<std::uint64_t>(n);
    if (chunk.written == chunk.bytes.size()) chunks_.pop_front();
  }
  return true;
}

DelayPipe::Time DelayPipe::due() const { return chunks_.empty() || blocked_ ? Time::max() : chunks_.front().due; }

DelayProxy::DelayProxy(const std::string& listen, const std::string& to, const Line& line)
    : line_(line), listener_(stream_socket()), target_(resolve(to)) {
  require(line.one_way.count() >= 0 && line.bytes_per_second > 0.0, Errc::kUsage, "a line has a delay >= 0 and a rate > 0");
  const std::vector<char> own = resolve(listen);
  const int on = 1;
  (void)::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  require(::bind(listener_.get(), as_address(own), static_cast<socklen_t>(own.size())) == 0 &&
              ::listen(listener_.get(), SOMAXCONN) == 0,
          Errc::kNetwork, "cannot listen on " + listen + ": " + std::strerror(errno));
  sockaddr_in bound{};
  socklen_t size = sizeof bound;
  require(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0, Errc::kInternal, "getsockname");
  port_ = ntohs(bound.sin_port);
}

void DelayProxy::accept_one() {
  FileDescriptor client(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (client.get() < 0) {
    require(would_block(errno) || errno == ECONNABORTED, Errc::kResources,
            std::string("no more connections: ") + std::strerror(errno));
    return;
  }
  FileDescriptor server(stream_socket());
  // Not awaited: bytes wait in the pipe until the socket can be written to, and a failure is seen by the first read.
  const int status = ::connect(server.get(), as_address(target_), static_cast<socklen_t>(target_.size()));
  if (status != 0 && errno != EINPROGRESS) return;
  send_at_once(client.get());
  send_at_once(server.get());
  const int c = client.get(), s = server.get();
  open_.push_back({std::move(client), std::move(server), DelayPipe(c, s, line_), DelayPipe(s, c, line_)});
  ++connections_;
}

bool DelayProxy::serve(Connection& c, short client_events, short server_events) {
  const auto now = Clock::now();
  const bool open = (client_events == 0 || !c.up.wants_input() || c.up.take_in(now)) &&
                    (server_events == 0 || !c.down.wants_input() || c.down.take_in(now)) && c.up.deliver(now) &&
                    c.down.deliver(now);
  return open && !(c.up.finished() && c.down.finished());
}

void DelayProxy::run(int stop_fd) {
  for (;;) {
    std::vector<pollfd> fds{{stop_fd, POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    Clock::time_point due = Clock::time_point::max();
    for (const Connection& c : open_) {
      fds.push_back(poll_entry(c.client.get(), c.up, c.down));
      fds.push_back(poll_entry(c.server.get(), c.down, c.up));
      due = std::min({due, c.up.due(), c.down.due()});
    }
    const timespec wait = time_left(due, Clock::now());
    const int ready = ::ppoll(fds.data(), fds.size(), due == Clock::time_point::max() ? nullptr : &wait, nullptr);
    require(ready >= 0 || errno == EINTR, Errc::kInternal, std::string("poll: ") + std::strerror(errno));
    if (ready < 0) continue;
    if (fds[0].revents != 0) break;
    std::size_t i = 2;
    for (auto c = open_.begin(); c != open_.end(); i += 2) {
      if (serve(*c, fds[i].revents, fds[i + 1].revents)) {
        ++c;
        continue;
      }
      closed_up_ += c->up.delivered_bytes();
      closed_down_ += c->down.delivered_bytes();
      c = open_.erase(c);
    }
    if (fds[1].revents != 0) accept_one();
  }
  const std::uint64_t up = bytes_up(), down = bytes_down();
  open_.clear();
  closed_up_ = up;
  closed_down_ = down;
}

std::uint64_t DelayProxy::bytes_up() const {
  std::uint64_t n = closed_up_;
  for (const Connection& c : open_) n += c.up.delivered_bytes();
  return n;
}

std::uint64_t DelayProxy::bytes_down() const {
  std::uint64_t n = closed_down_;
  for (const Connection& c : open_) n += c.down.delivered_bytes();
  return n;
}

}  // namespace sutura
