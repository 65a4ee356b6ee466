// A TCP proxy with the delay and the rate of a wide area network. Prints where it listens, and at the end what it forwarded.
#include <signal.h>
#include <sys/signalfd.h>
#include <CLI/CLI.hpp>

#include <iostream>

#include "bench/delay_proxy.h"
#include "core/error.h"

namespace {

/// A descriptor that is readable once SIGTERM or SIGINT has come; they do nothing else from then on.
sutura::FileDescriptor stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  const int fd = ::signalfd(-1, &set, SFD_CLOEXEC);
  sutura::require(fd >= 0, sutura::Errc::kResources, "no descriptor for signals");
  return sutura::FileDescriptor(fd);
}

}  // namespace

int main(int argc, char** argv) {
  using namespace sutura;
  CLI::App app{
      "sutura-delay-proxy: forwards TCP connections with the delay and the rate of a wide area network, each direction "
      "of each connection by itself; ends on SIGTERM or SIGINT."};
  std::string listen = "127.0.0.1:0", to;
  double rtt_ms = 80.0, mbit = 100.0;
  app.add_option("--listen", listen, "HOST:PORT to listen on; port 0: any free one, which is printed")->capture_default_str();
  app.add_option("--to", to, "HOST:PORT to forward to")->required();
  app.add_option("--rtt-ms", rtt_ms, "round trip time in milliseconds; half of it in each direction")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 60000.0));
  app.add_option("--mbit", mbit, "rate of each direction in Mbit/s (10^6 bits)")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 1e6));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : exit_status(Errc::kUsage);
  }
  try {
    const FileDescriptor stop = stop_signals();
    const Line line{std::chrono::nanoseconds(static_cast<std::int64_t>(rtt_ms * 5e5)), mbit * 125000.0};
    DelayProxy proxy(listen, to, line);
    std::cout << "listening on " << listen.substr(0, listen.rfind(':')) << ':' << proxy.port() << "; to " << to << ", RTT "
              << rtt_ms << " ms, " << mbit << " Mbit/s each way" << std::endl;
    proxy.run(stop.get());
    std::cout << "forwarded " << proxy.bytes_up() << " bytes up, " << proxy.bytes_down() << " bytes down, " << proxy.connections()
              << " connections" << std::endl;
    return 0;
  } catch (const Error& e) {
    std::cerr << "error: " << e.what() << std::endl;
    return exit_status(e.code());
  }
}
