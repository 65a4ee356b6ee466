#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <list>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace sutura {

inline int port_of(const std::string& endpoint) { return std::stoi(endpoint.substr(endpoint.rfind(':') + 1)); }

inline sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

/// A plain TCP connection to a loopback port.
class RawTcp {
 public:
  explicit RawTcp(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const sockaddr_in address = loopback(port);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw std::runtime_error("connect");
  }
  ~RawTcp() { ::close(fd_); }
  RawTcp(const RawTcp&) = delete;
  RawTcp& operator=(const RawTcp&) = delete;
  void send(const std::string& bytes) const { (void)!::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }

 private:
  int fd_;
};

/// Forwards TCP connections to a port and can cut all of them: what a flaky network does to a long connection. Remembers what
/// the clients sent.
class TcpProxy {
 public:
  explicit TcpProxy(int target)
      : target_(target), listener_(::socket(AF_INET, SOCK_STREAM, 0)), wake_(::eventfd(0, EFD_NONBLOCK)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("proxy");
    endpoint_ = "tcp://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  }
  ~TcpProxy() {
    thread_.request_stop();
    wake();
    thread_.join();
    ::close(listener_);
    ::close(wake_);
  }
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  const std::string& endpoint() const { return endpoint_; }
  /// Cuts all connections.
  void cut() {
    cut_ = true;
    wake();
  }
  /// From now on no more than this passes in a millisecond, both directions together.
  void throttle(int bytes_per_millisecond) { rate_ = bytes_per_millisecond; }
  /// Changes one bit in the middle of what comes next from one side.
  void corrupt_from_client() { corrupt_client_ = true; }
  void corrupt_from_server() { corrupt_server_ = true; }
  int cuts() const { return cuts_; }
  /// From now on connections go to another port.
  void retarget(int port) { target_ = port; }
  std::string recorded() const {
    const std::lock_guard lock(mutex_);
    return recorded_;
  }

 private:
  struct Link {
    int client;
    int server;
  };

  void wake() const {
    const std::uint64_t one = 1;
    (void)!::write(wake_, &one, sizeof one);
  }

  /// False if the connection is over.
  bool forward(int from, int to, bool record) {
    char buffer[65536];
    const int rate = rate_;
    const ssize_t n = ::recv(from, buffer, rate > 0 ? static_cast<std::size_t>(rate) : sizeof buffer, 0);
    if (rate > 0) ::poll(nullptr, 0, 1);
    if (n <= 0) return false;
    if ((record ? corrupt_client_ : corrupt_server_).exchange(false)) buffer[n / 2] ^= 4;
    if (record) {
      const std::lock_guard lock(mutex_);
      recorded_.append(buffer, static_cast<std::size_t>(n));
    }
    for (ssize_t done = 0; done < n;) {
      const ssize_t k = ::send(to, buffer + done, static_cast<std::size_t>(n - done), MSG_NOSIGNAL);
      if (k <= 0) return false;
      done += k;
    }
    return true;
  }

  void run(const std::stop_token& stop) {
    std::list<Link> links;
    const auto close_link = [](const Link& link) {
      ::close(link.client);
      ::close(link.server);
    };
    while (!stop.stop_requested()) {
      std::vector<pollfd> fds{{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
      for (const Link& link : links) {
        fds.push_back({link.client, POLLIN, 0});
        fds.push_back({link.server, POLLIN, 0});
      }
      ::poll(fds.data(), fds.size(), -1);
      std::uint64_t ignored;
      (void)!::read(wake_, &ignored, sizeof ignored);
      std::size_t i = 2;
      for (auto link = links.begin(); link != links.end(); i += 2) {
        const bool open = (!fds[i].revents || forward(link->client, link->server, true)) &&
                          (!fds[i + 1].revents || forward(link->server, link->client, false));
        if (!open) close_link(*link);
        link = open ? std::next(link) : links.erase(link);
      }
      if (cut_.exchange(false)) {
        cuts_ += static_cast<int>(links.size());
        for (const Link& link : links) close_link(link);
        links.clear();
      }
      if (fds[0].revents) {
        const int client = ::accept(listener_, nullptr, nullptr);
        const int server = ::socket(AF_INET, SOCK_STREAM, 0);
        const sockaddr_in address = loopback(target_);
        if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
          links.push_back({client, server});
        } else {
          close_link({client, server});
        }
      }
    }
    for (const Link& link : links) close_link(link);
  }

  std::atomic<int> target_;
  int listener_;
  int wake_;
  std::string endpoint_;
  std::atomic<bool> cut_{false};
  std::atomic<int> rate_{0};
  std::atomic<bool> corrupt_client_{false};
  std::atomic<bool> corrupt_server_{false};
  std::atomic<int> cuts_{0};
  mutable std::mutex mutex_;
  std::string recorded_;
  std::jthread thread_;
};

}  // namespace sutura
