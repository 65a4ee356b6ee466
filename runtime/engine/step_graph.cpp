#include "runtime/engine/step_graph.h"

#include <cstring>

#include "core/error.h"

namespace sutura {
namespace {

constexpr std::size_t kMostKinds = 256;  // each site has a full and a last batch, in training and in both evaluations

/// Memory comes from `arena` while this lives.
class Entered {
 public:
  Entered(DeviceStream& stream, DeviceStream::Arena* arena) : stream_(stream), before_(stream.enter(arena)) {}
  ~Entered() { stream_.enter(before_); }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  DeviceStream& stream_;
  DeviceStream::Arena* before_;
};

}  // namespace

RecordedWork& RecordedWork::operator=(RecordedWork&& o) noexcept {
  std::swap(runtime_, o.runtime_);
  std::swap(graph_, o.graph_);
  return *this;
}

RecordedWork::~RecordedWork() {
  if (graph_ != nullptr) runtime_->destroy_graph(graph_);
}

void RecordedWork::replay(Stream stream) const {
  require(graph_ != nullptr, Errc::kInternal, "work was to be repeated that was never recorded");
  runtime_->replay(graph_, stream);
}

StepGraphs::~StepGraphs() {
  try {
    clear();
  } catch (const Error&) {  // the device failed, which whoever used it has seen
    kinds_.clear();
  }
}

void StepGraphs::clear() {
  if (kinds_.empty()) return;
  ctx_.synchronise();
  kinds_.clear();
}

StepGraphs::Kind* StepGraphs::kind(const Key& key) {
  if (const auto it = kinds_.find(key); it != kinds_.end()) return &it->second;
  return kinds_.size() < kMostKinds ? &kinds_[key] : nullptr;
}

Tensor StepGraphs::fixed(const Shape& shape, DType dtype) {
  const Entered entered(ctx_.stream(), arena_.get());
  return ctx_.tensor(shape, dtype);
}

Tensor StepGraphs::port(const Shape& shape, DType dtype) {
  const Entered entered(ctx_.stream(), ports_.get());
  return ctx_.tensor(shape, dtype);
}

void StepGraphs::run(Kind& kind, Manner manner, Span& span, const std::function<void()>& body) {
  DeviceStream& stream = ctx_.stream();
  const DeviceRuntime& runtime = stream.runtime();
  switch (manner) {
    case Manner::kEager: return body();
    case Manner::kObserve: {
      const Entered entered(stream, arena_.get());
      const std::uint64_t before = stream.host_accesses();
      body();
      if (stream.host_accesses() != before) kind.next = Manner::kEager;
      return;
    }
    case Manner::kRecord: {
      const Entered entered(stream, arena_.get());
      runtime.begin_capture(stream.stream());
      try {
        body();
      } catch (...) {
        runtime.abandon_capture(stream.stream());
        kind.next = Manner::kEager;
        throw;
      }
      span.work = RecordedWork(runtime, runtime.end_capture(stream.stream()));
      return;
    }
    case Manner::kReplay: ++replays_; return span.work.replay(stream.stream());
  }
}

void StepGraphs::end(Kind& kind, Manner manner, Parts parts) {
  if (kind.next != manner || parts == Parts::kSomeLost) {
    if (manner != Manner::kRecord) return;
    ctx_.synchronise();
    kind.spans.clear();
    return;
  }
  if (manner == Manner::kObserve) kind.next = Manner::kRecord;
  if (manner == Manner::kRecord) kind.next = Manner::kReplay;
}

Staging::Staging(Context& ctx)
    : ctx_(ctx),
      ahead_(ctx.stream().runtime().create_stream()),
      step_begun_(ctx.stream().runtime().create_event()),
      copied_ahead_(ctx.stream().runtime().create_event()) {}

Staging::~Staging() {
  const DeviceRuntime& runtime = ctx_.stream().runtime();
  try {
    runtime.synchronise(ahead_);
  } catch (const Error&) {  // the device failed, which whoever used it has seen
  }
  for (Slot& s : ring_)
    if (s.copied != nullptr) runtime.destroy_event(s.copied);
  for (const Event event : {step_begun_, copied_ahead_}) runtime.destroy_event(event);
  runtime.destroy_stream(ahead_);
}

void Staging::begin_step() {
  const DeviceRuntime& runtime = ctx_.stream().runtime();
  runtime.record(step_begun_, ctx_.stream().stream());
  runtime.wait(ahead_, step_begun_);
}

void Staging::copy(ByteSpan bytes, Tensor& to) { copy_on(ctx_.stream().stream(), bytes, to); }

void Staging::copy_ahead(ByteSpan bytes, Tensor& to) {
  copy_on(ahead_, bytes, to);
  unjoined_ = true;
}

void Staging::join() {
  if (!std::exchange(unjoined_, false)) return;
  const DeviceRuntime& runtime = ctx_.stream().runtime();
  runtime.record(copied_ahead_, ahead_);
  runtime.wait(ctx_.stream().stream(), copied_ahead_);
}

void Staging::copy_on(Stream stream, ByteSpan bytes, Tensor& to) {
  require(to.place() == Tensor::Place::kDevice && to.bytes_size() == bytes.size(), Errc::kInternal,
          "staged values do not fit their place");
  if (bytes.empty()) return;
  const DeviceRuntime& runtime = ctx_.stream().runtime();
  if (ring_.size() < kSlots) {
    ring_.emplace_back();
    next_ = ring_.size() - 1;
  }
  Slot& slot = ring_[next_];
  next_ = (next_ + 1) % kSlots;
  if (slot.copied == nullptr)
    slot.copied = runtime.create_event();
  else
    runtime.wait_on_host(slot.copied);
  if (!slot.memory.defined() || slot.memory.bytes_size() < bytes.size())
    slot.memory = ctx_.pinned({static_cast<std::int64_t>(bytes.size())}, DType::kUint8);
  std::memcpy(slot.memory.data(), bytes.data(), bytes.size());
  runtime.copy_to_device(stream, to.data(), slot.memory.data(), bytes.size());
  runtime.record(slot.copied, stream);
}

}  // namespace sutura
