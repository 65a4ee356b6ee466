#include "runtime/tools/console.h"

#include <unistd.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <new>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/engine/run_folder.h"

namespace sutura {
namespace {

std::string bytes_text(double bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 1000.0 && unit < 4) {
    bytes /= 1000.0;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
  return text;
}

std::string time_text(double seconds) {
  char text[32];
  if (seconds < 90)
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  else
    std::snprintf(text, sizeof text, "%.1f min", seconds / 60.0);
  return text;
}

std::string figure(const std::optional<double>& v) {
  if (!v) return "n/a";
  char text[16];
  std::snprintf(text, sizeof text, "%.4f", *v);
  return text;
}

}  // namespace

Progress::Progress(const Prepared& prepared, std::int64_t total_steps, Style style)
    : prepared_(prepared), total_steps_(total_steps), style_(style), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { clear_line(); }

void Progress::clear_line() {
  if (line_open_) std::cerr << "\r\033[K" << std::flush;
  line_open_ = false;
}

void Progress::step(const Step& s, const StepResult& r) {
  using namespace std::chrono;
  const auto now = steady_clock::now();
  if (style_ == Style::kOff || !terminal_ || s.purpose != Purpose::kTrain || now - shown_ < milliseconds(200)) return;
  shown_ = now;
  const double done = static_cast<double>(s.index + 1) / static_cast<double>(std::max<std::int64_t>(1, total_steps_));
  const double spent = duration<double>(now - start_).count();
  char text[160];
  std::snprintf(text, sizeof text, "\r\033[Kepoch %lld/%lld  %3.0f %%  loss %.4f  %s left", static_cast<long long>(s.epoch + 1),
                static_cast<long long>(prepared_.study().training.epochs), 100.0 * done, r.loss,
                time_text(spent / done - spent).c_str());
  std::cerr << text << std::flush;
  line_open_ = true;
}

void Progress::epoch(const EpochRecord& r) {
  if (style_ == Style::kOff) return;
  clear_line();
  const std::int64_t epochs = prepared_.study().training.epochs;
  std::string line = "epoch " + std::to_string(r.epoch + 1) + "/" + std::to_string(epochs);
  if (r.train_loss) line += "  loss " + figure(r.train_loss);
  if (r.validation) line += "  validation auc " + figure(r.validation->auc);
  if (r.seconds > 0.0) line += "  " + std::to_string(static_cast<long long>(static_cast<double>(r.records) / r.seconds)) + " samples/s";
  if (r.traffic.up_bytes + r.traffic.down_bytes > 0)
    line += "  up " + bytes_text(static_cast<double>(r.traffic.up_bytes)) + "  down " + bytes_text(static_cast<double>(r.traffic.down_bytes));
  if (r.epsilon > 0.0) line += "  row epsilon " + figure(r.epsilon);
  const double spent = seconds_since(start_);
  if (r.epoch + 1 < epochs) line += "  " + time_text(spent / static_cast<double>(r.epoch + 1) * static_cast<double>(epochs - r.epoch - 1)) + " left";
  std::cerr << line << std::endl;
}

void Progress::decision(const Decision& d) {
  const bool from_the_start = d.event == "joined" && d.round == 0;
  if (style_ == Style::kOff || from_the_start) return;
  clear_line();
  std::cerr << "round " << d.round << ": " << d.who << " " << d.event << ": " << escaped(d.reason) << std::endl;
}

void print_result(const Prepared& prepared, const PartyResult& result, const std::string& instance, const std::string& folder) {
  const nlohmann::json s = summary_of(prepared, result, instance);
  std::string out = "\n" + prepared.study().study + ", " + instance + " (" + result.backend + ")\n";
  if (result.interrupted) out += "  interrupted: what was learned so far is saved\n";
  for (const std::string& d : result.dropped) out += "  lost on the way: " + d + "\n";
  if (result.test) {
    const Evaluation& t = *result.test;
    out += "  test AUC           " + figure(t.auc) + (t.auc_low ? "  (95 % interval " + figure(t.auc_low) + " to " + figure(t.auc_high) + ")" : "") + "\n";
    out += "  accuracy           " + figure(t.accuracy) + "   balanced " + figure(t.balanced_accuracy) + "   sensitivity at 90 % specificity " +
           figure(t.sensitivity_at_90_specificity) + "\n";
    out += "  loss               " + figure(t.loss) + "   on " + std::to_string(t.records) + " test records, " +
           s["evaluated"].get<std::string>() + "\n";
  }
  if (s.contains("controls")) {
    const auto& c = s["controls"];
    if (!c["no_data_rule_auc"].is_null()) out += "  no-data rule       " + figure(c["no_data_rule_auc"].get<double>()) + "  AUC of the public rule, which saw no record\n";
    if (!c["permuted_label_auc_mean"].is_null())
      out += "  permuted labels    " + figure(c["permuted_label_auc_mean"].get<double>()) + "  mean AUC of " +
             std::to_string(c["permutations"].get<int>()) + " trainings on shuffled labels" +
             (c["permuted_label_auc_sd"].is_null() ? "" : " (sd " + figure(c["permuted_label_auc_sd"].get<double>()) + ")") + "\n";
  }
  const double rate = s["samples_per_second"].get<double>();
  if (rate > 0.0) out += "  speed              " + std::to_string(static_cast<long long>(rate)) + " samples/s\n";
  out += "  bytes per sample   " + bytes_text(s["bytes_up_per_sample"].get<double>()) + " up, " +
         bytes_text(s["bytes_down_per_sample"].get<double>()) + " down\n";
  out += "what leaves\n" + egress_text(prepared.egress);
  out += "privacy\n  " + prepared.statement + "\n";
  if (result.epsilon_spent > 0.0)
    out += "  ledger: the most-released record has spent row epsilon " + figure(result.epsilon_spent) +
           (result.epsilon_before > 0.0 ? ", of which " + figure(result.epsilon_before) + " in earlier runs" : "") + "\n";
  out += "written to " + folder + "\n";
  std::cout << out << std::flush;
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
