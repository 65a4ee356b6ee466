#include "runtime/tools/console.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>
#include <thread>

#include "core/clock.h"
#include "runtime/tools/result_text.h"

namespace sutura {
Progress::Progress(const Prepared& prepared, int party, std::int64_t total_steps, Style style)
    : epochs_(prepared.study().training.epochs), total_steps_(total_steps), style_(style),
      holds_loss_(prepared.plan.party_of(prepared.plan.loss_node) == party), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { clear_line(); }

void Progress::clear_line() {
  if (line_open_) std::cerr << "\r\033[K" << std::flush;
  line_open_ = false;
}

void Progress::step(const Step& s, const StepResult& r) {
  using namespace std::chrono;
  if (s.purpose != Purpose::kTrain) return;
  if (r.ended()) loss_ = r.loss;  // with stale steps an earlier one, or none yet
  const auto now = steady_clock::now();
  if (style_ == Style::kOff || !terminal_ || now - shown_ < milliseconds(200)) return;
  shown_ = now;
  const double done = static_cast<double>(s.index + 1) / static_cast<double>(std::max<std::int64_t>(1, total_steps_));
  const double spent = duration<double>(now - start_).count();
  char text[96];
  std::snprintf(text, sizeof text, "\r\033[Kepoch %lld/%lld  %3.0f %%", static_cast<long long>(s.epoch + 1),
                static_cast<long long>(epochs_), 100.0 * done);
  std::string line = text;
  if (holds_loss_ && loss_) {
    std::snprintf(text, sizeof text, "  loss %.4f", *loss_);
    line += text;
  }
  std::cerr << line << "  " << time_text(std::max(0.0, spent / done - spent)) << " left" << std::flush;
  line_open_ = true;
}

void Progress::epoch(const EpochRecord& r) {
  if (style_ == Style::kOff) return;
  clear_line();
  std::cerr << epoch_line(r, epochs_, seconds_since(start_)) << std::endl;
}

void Progress::decision(const Decision& d) {
  const bool from_the_start = d.event == "joined" && d.round == 0;
  if (style_ == Style::kOff || from_the_start) return;
  clear_line();
  std::cerr << "round " << d.round << ": " << d.who << " " << d.event << ": " << escaped(d.reason) << std::endl;
}

void print_result(const Prepared& prepared, const PartyResult& result, const std::string& instance, const std::string& folder) {
  std::cout << "\n" << result_text(prepared, result, instance) << "written to " << folder << std::endl;
}

void print_json(const std::string& text) { std::cout << text << std::endl; }

namespace {
std::atomic<bool> stop_raised{false};  // signal handlers can reach nothing else
void on_signal(int) {
  if (stop_raised.exchange(true)) ::_exit(130);
}
}  // namespace

void watch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

bool stop_requested() { return stop_raised.load(); }

StopWatcher::StopWatcher(std::chrono::milliseconds grace, std::function<void()> action)
    : thread_([grace, action = std::move(action)](const std::stop_token& token) {
        auto left = grace;
        // A signal handler can set a flag and no more, so the flag is polled.
        while (!token.stop_requested() && left.count() > 0) {
          std::this_thread::sleep_for(std::chrono::milliseconds(50));
          if (sutura::stop_requested()) left -= std::chrono::milliseconds(50);
        }
        if (!token.stop_requested()) action();
      }) {}

int run_program(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& e) {
    // A finding in a study already reads like a compiler's line.
    std::cerr << (e.code() == Errc::kConfig ? "" : "error: ") << e.what() << std::endl;
    return exit_status(e.code());
  } catch (const std::bad_alloc&) {
    std::cerr << "error: out of memory" << std::endl;
    return exit_status(Errc::kResources);
  } catch (const std::exception& e) {
    std::cerr << "error: internal: " << e.what() << std::endl;
    return 1;
  }
}

}  // namespace sutura
