#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <utility>
#include <vector>

namespace sutura {

/// A line as a model: a byte leaves at max(end of the byte before it, its arrival) + 1 / bytes_per_second, and is at the other
/// end `one_way` later. Each direction of each connection is a line of its own.
struct Line {
  std::chrono::nanoseconds one_way{0};  ///< propagation: half the round trip time
  double bytes_per_second = 0.0;        ///< serialisation; > 0
};

/// Owns a file descriptor.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor() { reset(); }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  int get() const { return fd_; }
  void reset();

 private:
  int fd_;
};

/// Bytes on their way in one direction of one connection. What it holds is bounded; a full pipe does not read, so that the
/// sender's own flow control slows it down.
class DelayPipe {
 public:
  using Time = std::chrono::steady_clock::time_point;
  DelayPipe(int from, int to, const Line& line);

  bool wants_input() const { return !ended_ && held_ < capacity_; }
  /// Reads once what has arrived. False if the connection broke.
  bool take_in(Time now);
  /// Writes what is due, as far as the receiver takes it; then passes on the end of the stream. False if the connection broke.
  bool deliver(Time now);
  /// When deliver() has something to do; Time::max() while nothing is held or the receiver is full.
  Time due() const;
  bool blocked() const { return blocked_; }
  bool finished() const { return shut_; }
  std::uint64_t delivered_bytes() const { return delivered_; }

 private:
  struct Chunk {
    std::vector<char> bytes;
    std::size_t written;
    Time due;
  };
  int from_, to_;
  Line line_;
  std::size_t capacity_;
  std::deque<Chunk> chunks_;
  std::size_t held_ = 0;
  Time line_free_{};
  bool ended_ = false, blocked_ = false, shut_ = false;
  std::uint64_t delivered_ = 0;
};

/// Forwards TCP connections through lines with a delay and a rate: a wide area network on one machine, without privileges and
/// without the kernel's netem. Setting up a connection is not delayed, only its bytes are. Never faster than the model; on a
/// busy machine it may be slower. Threads: one.
class DelayProxy {
 public:
  /// Binds `listen` ("HOST:PORT", port 0: any) and resolves `to`. Errors: kUsage for an address that is none, kNetwork.
  DelayProxy(const std::string& listen, const std::string& to, const Line& line);
  /// The port that it listens on.
  std::uint16_t port() const { return port_; }
  /// Serves until `stop_fd` is readable, then drops all connections. Errors: kResources when no connection can be accepted.
  void run(int stop_fd);

  /// What reached the other end so far: up is from who dialled to who was dialled.
  std::uint64_t bytes_up() const;
  std::uint64_t bytes_down() const;
  std::uint64_t connections() const { return connections_; }

 private:
  struct Connection {
    FileDescriptor client, server;
    DelayPipe up, down;
  };
  void accept_one();
  bool serve(Connection& c, short client_events, short server_events);

  Line line_;
  FileDescriptor listener_;
  std::uint16_t port_ = 0;
  std::vector<char> target_;  // a sockaddr
  std::list<Connection> open_;
  std::uint64_t closed_up_ = 0, closed_down_ = 0, connections_ = 0;
};

}  // namespace sutura
