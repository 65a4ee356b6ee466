#include "bench/gpu/measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <vector>

#include "core/error.h"
#include "core/random/philox.h"
#include "kernels/device_ops.h"
#include "kernels/device_stream.h"

namespace sutura::bench {
namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

std::string quoted(const std::string& text) {
  std::string q = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') q += '\\';
    q += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return q + "\"";
}

struct OwnEvent {
  explicit OwnEvent(const DeviceRuntime& r) : runtime(r), event(r.create_event()) {}
  ~OwnEvent() { runtime.destroy_event(event); }
  OwnEvent(const OwnEvent&) = delete;
  OwnEvent& operator=(const OwnEvent&) = delete;
  const DeviceRuntime& runtime;
  Event event;
};

/// Seconds that the device takes for `calls` calls of `once`.
double device_seconds(Context& ctx, int calls, const std::function<void(int)>& once) {
  const DeviceRuntime& r = ctx.stream().runtime();
  const Stream stream = ctx.stream().stream();
  const OwnEvent begin(r), end(r);
  r.record(begin.event, stream);
  for (int i = 0; i < calls; ++i) once(i);
  r.record(end.event, stream);
  ctx.synchronise();
  return r.milliseconds_between(begin.event, end.event) * 1e-3;
}

double median_per_call(Context& ctx, Effort effort, const std::function<void(int)>& once) {
  const double least = effort == Effort::kFull ? 5e-3 : 1e-3;
  int calls = 1;
  for (double spent = device_seconds(ctx, calls, once); spent < least && calls < 100000; spent = device_seconds(ctx, calls, once))
    calls = std::max(2 * calls, static_cast<int>(calls * std::min(50.0, 1.2 * least / std::max(spent, 1e-7))));
  std::vector<double> seconds;
  for (int i = 0; i < (effort == Effort::kFull ? 7 : 3); ++i) seconds.push_back(device_seconds(ctx, calls, once) / calls);
  std::ranges::sort(seconds);
  return seconds[seconds.size() / 2];
}

/// Graphs of work(0), ..., work(count - 1), in memory of their own.
class Recorded {
 public:
  Recorded(Context& ctx, const Work& work, int count) : stream_(ctx.stream()), arena_(stream_.make_arena()) {
    before_ = stream_.enter(arena_.get());
    const DeviceRuntime& r = stream_.runtime();
    try {
      for (int i = 0; i < count; ++i) work(i);  // takes the memory that a recording may not take
      ctx.synchronise();
      for (int i = 0; i < count; ++i) {
        r.begin_capture(stream_.stream());
        try {
          work(i);
          graphs_.push_back(r.end_capture(stream_.stream()));
        } catch (...) {
          r.abandon_capture(stream_.stream());
          throw;
        }
      }
    } catch (...) {
      leave();
      throw;
    }
  }
  ~Recorded() { leave(); }
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;
  void replay(int i) const { stream_.runtime().replay(graphs_[static_cast<std::size_t>(i)], stream_.stream()); }

 private:
  void leave() noexcept {
    for (GraphExec* graph : graphs_) stream_.runtime().destroy_graph(graph);
    graphs_.clear();
    stream_.enter(before_);
  }
  DeviceStream& stream_;
  std::shared_ptr<DeviceStream::Arena> arena_;  // shared with the stream: DeviceStream::make_arena
  DeviceStream::Arena* before_ = nullptr;
  std::vector<GraphExec*> graphs_;
};

}  // namespace

void Report::number(const std::string& key, const std::string& unit, const std::function<double()>& measure) {
  try {
    const double value = measure();
    if (std::isfinite(value)) {
      std::printf("{\"key\": %s, \"value\": %.9g, \"unit\": %s}\n", quoted(key).c_str(), value, quoted(unit).c_str());
    } else {
      std::printf("{\"key\": %s, \"value\": null, \"unit\": %s}\n", quoted(key).c_str(), quoted(unit).c_str());
    }
    std::fflush(stdout);
  } catch (const std::exception& e) {
    failed(key, e.what());
  }
}
void Report::text(const std::string& key, const std::string& value) {
  std::printf("{\"key\": %s, \"value\": %s}\n", quoted(key).c_str(), quoted(value).c_str());
  std::fflush(stdout);
}
void Report::failed(const std::string& key, const std::string& why) {
  ++failures_;
  std::printf("{\"key\": %s, \"error\": %s}\n", quoted(key).c_str(), quoted(why).c_str());
  std::fflush(stdout);
}

double queued_seconds(Context& ctx, Effort effort, const Work& work) {
  for (int i = 0; i < kSets; ++i) work(i);
  ctx.synchronise();
  if (effort == Effort::kTiny) return kNothing;
  return median_per_call(ctx, effort, [&](int i) { work(i % kSets); });
}

double graph_seconds(Context& ctx, Effort effort, const Work& work) {
  const Recorded recorded(ctx, [&](int) {
    for (int i = 0; i < kSets; ++i) work(i);
  }, 1);
  recorded.replay(0);
  ctx.synchronise();
  if (effort == Effort::kTiny) return kNothing;
  return median_per_call(ctx, effort, [&](int) { recorded.replay(0); }) / kSets;
}

double step_graph_seconds(Context& ctx, Effort effort, const Work& before, const Work& work) {
  for (int i = 0; i < kSets; ++i) before(i);
  const Recorded recorded(ctx, work, kSets);
  const auto step = [&](int i) {
    before(i % kSets);
    recorded.replay(i % kSets);
  };
  for (int i = 0; i < kSets; ++i) step(i);
  ctx.synchronise();
  if (effort == Effort::kTiny) return kNothing;
  return median_per_call(ctx, effort, step);
}

double host_seconds(Context& ctx, Effort effort, const Work& work) {
  constexpr int kCalls = 300;  // fewer than the driver queues: a full queue makes the host wait for the device
  for (int i = 0; i < kSets; ++i) work(i);
  ctx.synchronise();
  if (effort == Effort::kTiny) return kNothing;
  std::vector<double> seconds;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kCalls; ++i) work(i % kSets);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / kCalls);
    ctx.synchronise();
  }
  std::ranges::sort(seconds);
  return seconds[seconds.size() / 2];
}

Tensor random_tensor(const Context& ctx, const Shape& shape, DType dtype, std::uint64_t seed) {
  // One MiB of normal values, repeated: drawing hundreds of megabytes would take longer than measuring.
  PhiloxStream random(seed, "bench");
  std::vector<float> few(static_cast<std::size_t>(std::min<std::int64_t>(shape.elements(), 1 << 18) | 1));
  for (float& v : few) v = static_cast<float>(random.next_normal());
  Tensor t(shape, dtype);
  if (dtype == DType::kBfloat16) {
    const auto values = t.as<bf16>();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = to_bf16(few[i % few.size()]);
  } else {
    const auto values = t.f32();
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = few[i % few.size()];
  }
  return ctx.here(std::move(t));
}

}  // namespace sutura::bench
