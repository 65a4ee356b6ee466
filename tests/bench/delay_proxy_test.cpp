// The delay proxy: its line as a model under a clock of the test's own, then the real thing on the loopback interface, where a
// busy machine may make it slower than asked but nothing may make it faster.
#include "bench/delay_proxy.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "core/clock.h"
#include "core/error.h"
#include "tests/support/process.h"

namespace sutura {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Time = DelayPipe::Time;

/// Bytes that tell where they stood.
std::string pattern(std::size_t size) {
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 2654435761u) >> 13);
  return bytes;
}

void send_all(int fd, const std::string& bytes) {
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    ASSERT_GT(n, 0);
    done += static_cast<std::size_t>(n);
  }
}

/// The next `size` bytes; fewer if the stream ends before.
std::string receive(int fd, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::recv(fd, bytes.data() + done, size - done, 0);
    if (n <= 0) break;
    done += static_cast<std::size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

// ---- the model: no wall clock ---------------------------------------------------------------------------------------------

/// A pipe between two socket pairs, in which the test is sender, receiver and clock.
class Pipe : public ::testing::Test {
 protected:
  Pipe() {
    for (auto* pair : {&in_, &out_})
      if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair->data()) != 0) throw std::runtime_error("socketpair");
  }
  ~Pipe() override {
    for (const auto& pair : {in_, out_})
      for (const int fd : pair) ::close(fd);
  }
  DelayPipe pipe(const Line& line) const { return {in_[1], out_[0], line}; }
  void write(std::size_t size) const { send_all(in_[0], pattern(size)); }
  std::string arrived() const { return receive(out_[1], 1 << 20); }
  void end() const { ::shutdown(in_[0], SHUT_WR); }

  std::array<int, 2> in_, out_;
  const Time start_{1h};
};

TEST_F(Pipe, AByteIsSerialisedThenPropagated) {
  DelayPipe p = pipe({40ms, 1e6});  // 1 byte per microsecond
  EXPECT_EQ(p.due(), Time::max());
  write(1000);
  ASSERT_TRUE(p.take_in(start_));
  EXPECT_EQ(p.due(), start_ + 1ms + 40ms);
  ASSERT_TRUE(p.deliver(start_ + 41ms - 1ns));
  EXPECT_EQ(arrived(), "");
  ASSERT_TRUE(p.deliver(start_ + 41ms));
  EXPECT_EQ(arrived(), pattern(1000));
  EXPECT_EQ(p.delivered_bytes(), 1000u);
}

TEST_F(Pipe, BytesQueueForTheLineAndAnIdleLineWaitsForThem) {
  DelayPipe p = pipe({40ms, 1e6});
  write(1000);
  ASSERT_TRUE(p.take_in(start_));
  write(2000);  // half a millisecond later the line is still busy with the first: they leave at 1 ms + 2 ms
  ASSERT_TRUE(p.take_in(start_ + 500us));
  ASSERT_TRUE(p.deliver(start_ + 41ms));
  EXPECT_EQ(p.due(), start_ + 43ms);
  ASSERT_TRUE(p.deliver(start_ + 43ms));
  write(3000);  // long after: from its arrival on, not from the end of what was before
  ASSERT_TRUE(p.take_in(start_ + 100ms));
  EXPECT_EQ(p.due(), start_ + 143ms);
  EXPECT_EQ(arrived().size(), 3000u);
}

TEST_F(Pipe, HoldsABoundedNumberOfBytesAndReadsAgainWhenTheyHaveLeft) {
  DelayPipe p = pipe({10ms, 1e6});
  std::size_t taken = 0;
  while (p.wants_input()) {
    write(8192);
    ASSERT_TRUE(p.take_in(start_));
    taken += 8192;
    ASSERT_LT(taken, 1u << 20) << "it never stops reading";
  }
  EXPECT_GE(taken, 20'000u) << "less than a round trip's bytes: the line would run dry";
  ASSERT_TRUE(p.deliver(p.due()));
  EXPECT_TRUE(p.wants_input());
}

TEST_F(Pipe, TheEndOfTheStreamComesAfterAllBytes) {
  DelayPipe p = pipe({40ms, 1e6});
  write(500);
  ASSERT_TRUE(p.take_in(start_));
  end();
  ASSERT_TRUE(p.take_in(start_));
  EXPECT_FALSE(p.wants_input());
  ASSERT_TRUE(p.deliver(start_ + 40ms));
  EXPECT_FALSE(p.finished());
  ASSERT_TRUE(p.deliver(start_ + 41ms));
  EXPECT_TRUE(p.finished());
  EXPECT_EQ(arrived(), pattern(500));
  EXPECT_EQ(receive(out_[1], 1), "") << "the stream has not ended";
}

TEST_F(Pipe, AFullReceiverIsWaitedForAndLosesNothing) {
  DelayPipe p = pipe({0ms, 1e9});
  const int small = 4096;
  ASSERT_EQ(::setsockopt(out_[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  write(100'000);
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(p.take_in(start_));
  ASSERT_TRUE(p.deliver(start_ + 1s));
  EXPECT_TRUE(p.blocked());
  EXPECT_EQ(p.due(), Time::max()) << "it would poll in a circle";
  std::string all;
  for (int i = 0; i < 1000 && all.size() < 100'000; ++i) {
    all += arrived();
    ASSERT_TRUE(p.deliver(start_ + 1s));
  }
  EXPECT_EQ(all, pattern(100'000));
}

// ---- on the loopback interface ----------------------------------------------------------------------------------------------

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

FileDescriptor dial(std::uint16_t port) {
  FileDescriptor fd(::socket(AF_INET, SOCK_STREAM, 0));
  const sockaddr_in address = loopback(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) throw std::runtime_error("connect");
  return fd;
}

/// Sends back whatever comes, until the other side ends its stream.
class Echo {
 public:
  Echo() : listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_.get(), 16) != 0 ||
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
      throw std::runtime_error("echo");
    port_ = ntohs(address.sin_port);
    acceptor_ = std::jthread([this] {
      for (;;) {
        const int fd = ::accept(listener_.get(), nullptr, nullptr);
        if (fd < 0) return;
        servers_.emplace_back([fd] {
          std::array<char, 65536> buffer;
          for (ssize_t n; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;)
            for (ssize_t done = 0; done < n;) {
              const ssize_t k = ::send(fd, buffer.data() + done, static_cast<std::size_t>(n - done), MSG_NOSIGNAL);
              if (k <= 0) break;
              done += k;
            }
          ::close(fd);
        });
      }
    });
  }
  ~Echo() { ::shutdown(listener_.get(), SHUT_RDWR); }  // accept returns; a thread ends with its connection
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  FileDescriptor listener_;
  std::uint16_t port_ = 0;
  std::vector<std::jthread> servers_;
  std::jthread acceptor_;
};

/// A proxy to an echo, in a thread of its own until the test ends.
class Proxy : public ::testing::Test {
 protected:
  ~Proxy() override {
    stop();
    ::close(stop_);
  }
  void start(const Line& line) {
    proxy_ = std::make_unique<DelayProxy>("127.0.0.1:0", echo_.address(), line);
    thread_ = std::jthread([this] { proxy_->run(stop_); });
  }
  void stop() {
    const std::uint64_t one = 1;
    (void)!::write(stop_, &one, sizeof one);
    if (thread_.joinable()) thread_.join();
  }
  FileDescriptor dial() const { return sutura::dial(proxy_->port()); }

  Echo echo_;
  const int stop_ = ::eventfd(0, EFD_NONBLOCK);
  std::unique_ptr<DelayProxy> proxy_;
  std::jthread thread_;
};

/// Tries that a busy machine gets to come within the tolerance once; none may be below the model.
constexpr int kTries = 40;

TEST_F(Proxy, AnEchoTakesARoundTrip) {
  start({20ms, 12.5e6});
  const FileDescriptor fd = dial();
  double best = 1e9;
  for (int i = 0; i < kTries && best > 0.044; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    send_all(fd.get(), "x");
    ASSERT_EQ(receive(fd.get(), 1), "x");
    const double seconds = seconds_since(begin);
    ASSERT_GE(seconds, 0.040);
    best = std::min(best, seconds);
  }
  EXPECT_LE(best, 0.044) << "10 % above the round trip asked for, in the best of " << kTries;
}

TEST_F(Proxy, BothDirectionsHaveTheFullRateAtOnceAndKeepTheOrder) {
  // 1 MB there and back at 5 MB/s each way: 0.2 s and a round trip if the directions do not share the line, else 0.4 s.
  start({10ms, 5e6});
  const FileDescriptor fd = dial();
  const std::string sent = pattern(1'000'000);
  const double model = 0.2 + 0.02;
  double best = 1e9;
  for (int i = 0; i < kTries && best > 1.05 * model; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const std::jthread sender([&] { send_all(fd.get(), sent); });
    ASSERT_EQ(receive(fd.get(), sent.size()), sent);
    const double seconds = seconds_since(begin);
    ASSERT_GE(seconds, model);
    best = std::min(best, seconds);
  }
  EXPECT_LE(best, 1.05 * model) << "5 % above the model, in the best of " << kTries;
}

TEST_F(Proxy, ConnectionsDoNotShareALine) {
  start({5ms, 5e6});
  const std::string sent = pattern(250'000);  // 0.05 s each
  double best = 1e9;
  for (int i = 0; i < kTries && best > 0.12; ++i) {
    std::vector<std::jthread> all;
    const auto begin = std::chrono::steady_clock::now();
    for (int k = 0; k < 4; ++k)
      all.emplace_back([&] {
        const FileDescriptor fd = dial();
        const std::jthread sender([&] { send_all(fd.get(), sent); });
        EXPECT_EQ(receive(fd.get(), sent.size()), sent);
      });
    all.clear();  // joins
    best = std::min(best, seconds_since(begin));
  }
  EXPECT_LE(best, 0.12) << "four connections take four times as long as one";
}

TEST_F(Proxy, PassesOnTheEndOfAStreamAndCountsBytes) {
  start({1ms, 1e8});
  {
    const FileDescriptor fd = dial();
    send_all(fd.get(), pattern(70'000));
    ::shutdown(fd.get(), SHUT_WR);
    EXPECT_EQ(receive(fd.get(), 80'000), pattern(70'000)) << "what was under way when the stream ended";
  }
  stop();
  EXPECT_EQ(proxy_->bytes_up(), 70'000u);
  EXPECT_EQ(proxy_->bytes_down(), 70'000u);
  EXPECT_EQ(proxy_->connections(), 1u);
}

TEST_F(Proxy, AStopDropsWhatIsOpenAndNobodyBehindItIsAnEnd) {
  start({1ms, 1e8});
  const FileDescriptor fd = dial();
  send_all(fd.get(), "x");
  ASSERT_EQ(receive(fd.get(), 1), "x");
  stop();
  EXPECT_EQ(receive(fd.get(), 1), "");

  // A port that was just given up: nobody listens there.
  std::uint16_t nobody = 0;
  {
    const DelayProxy gone("127.0.0.1:0", "127.0.0.1:1", {1ms, 1e6});
    nobody = gone.port();
  }
  DelayProxy lonely("127.0.0.1:0", "127.0.0.1:" + std::to_string(nobody), {1ms, 1e6});
  const int end = ::eventfd(0, EFD_NONBLOCK);
  std::jthread thread([&] { lonely.run(end); });
  const FileDescriptor refused = sutura::dial(lonely.port());
  EXPECT_EQ(receive(refused.get(), 1), "");
  const std::uint64_t one = 1;
  (void)!::write(end, &one, sizeof one);
  thread.join();
  ::close(end);
}

TEST(DelayProxy, RefusesWhatIsNoAddressAndNoLine) {
  for (const char* address : {"", "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:port", "no host:80"})
    EXPECT_THROW(DelayProxy("127.0.0.1:0", address, {1ms, 1e6}), Error) << address;
  EXPECT_THROW(DelayProxy("127.0.0.1:0", "127.0.0.1:1", {1ms, 0.0}), Error);
  EXPECT_THROW(DelayProxy("127.0.0.1:0", "127.0.0.1:1", {-1ms, 1e6}), Error);
}

TEST_F(Proxy, TheProgramSaysWhereItListensAndEndsOnATerm) {
  testing::Process program({std::string(SUTURA_BIN_DIR) + "/sutura-delay-proxy", "--to", echo_.address(), "--rtt-ms", "2"}, "/");
  ASSERT_TRUE(program.says("listening on 127.0.0.1:")) << program.err();
  const std::string line = program.out();
  const FileDescriptor fd = sutura::dial(static_cast<std::uint16_t>(std::stoi(line.substr(line.find(':') + 1))));
  send_all(fd.get(), "hello");
  EXPECT_EQ(receive(fd.get(), 5), "hello");
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0);
  EXPECT_THAT(program.out(), HasSubstr("forwarded 5 bytes up, 5 bytes down, 1 connections"));
}

}  // namespace
}  // namespace sutura
