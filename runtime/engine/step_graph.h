#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/context.h"
#include "kernels/device_stream.h"
#include "kernels/tensor.h"
#include "transport/message.h"

namespace sutura {

/// Where a micro-batch keeps a tensor (Executor::Slots).
struct SlotName {
  enum class Kind : std::uint8_t { kValue, kReceived, kRaw, kGradient };
  Kind kind = Kind::kValue;
  int at = -1;      ///< node, or edge for kReceived and kRaw
  int second = -1;  ///< kGradient: the consumer; kRaw: 16 leg + number of the tensor
  auto operator<=>(const SlotName&) const = default;
};

/// Device work that was recorded: the same kernels with the same arguments on the same memory, done again by one call.
class RecordedWork {
 public:
  RecordedWork() = default;
  RecordedWork(const DeviceRuntime& runtime, GraphExec* graph) : runtime_(&runtime), graph_(graph) {}
  RecordedWork(RecordedWork&& o) noexcept : runtime_(o.runtime_), graph_(std::exchange(o.graph_, nullptr)) {}
  RecordedWork& operator=(RecordedWork&& o) noexcept;
  ~RecordedWork();  ///< the work must have come to its end
  void replay(Stream stream) const;

 private:
  const DeviceRuntime* runtime_ = nullptr;
  GraphExec* graph_ = nullptr;
};

/// The device work of one part of a step between two dealings with a peer, and the fixed memory that it works on.
struct Span {
  RecordedWork work;
  std::map<SlotName, Tensor> ports;                            ///< where what came from the host is put before the work
  std::map<SlotName, Tensor> left;                             ///< what the work leaves in the slots: views
  std::map<std::pair<int, Leg>, std::vector<Tensor>> encoded;  ///< pinned: what SEND takes, by edge and leg
  struct Draw {
    std::uint64_t seed;
    std::string stream;
    Tensor words;  // [4] int32
  };
  std::vector<Draw> draws;  ///< random draws of the work: their words change with the step
  Tensor loss;              ///< pinned
  Tensor outputs;           ///< pinned, for scores
};

/// Records the device work of steps and replays it. Steps of one kind (purpose, parts and their sizes) do the same kernels on the
/// same shapes. The first step of a kind runs as it is, so that its memory is taken from the device; the second is recorded,
/// which may take none; every later one is a few replays. All kinds share one arena, and one for ports: steps come one
/// after another, and what a step leaves there is not needed by the next.
///
/// A kind is not recorded if its first step met the host in the middle of its work (a layer that computes there): see
/// DeviceStream::host_accesses().
/// Threads: one.
class StepGraphs {
 public:
  enum class Manner : std::uint8_t {
    kEager,    ///< plain work on the stream's own memory
    kObserve,  ///< plain work on the arena
    kRecord,
    kReplay,
  };
  using Key = std::vector<std::int64_t>;
  using Place = std::tuple<std::size_t, std::size_t, std::size_t>;  ///< part, turn, first instruction
  struct Kind {
    Manner next = Manner::kObserve;
    std::map<Place, Span> spans;
  };

  explicit StepGraphs(Context& ctx) : ctx_(ctx), arena_(ctx.stream().make_arena()), ports_(ctx.stream().make_arena()) {}
  ~StepGraphs();
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  /// The kind of a step that begins. nullptr: there are too many kinds, this one is not recorded.
  Kind* kind(const Key& key);
  /// Queues the work of a span: `body` itself, or what was recorded of it. What is recorded now is not done yet.
  void run(Kind& kind, Manner manner, Span& span, const std::function<void()>& body);
  /// A step of this kind and manner ended. Parts that were lost on the way leave a recording with holes: it is made again.
  enum class Parts : std::uint8_t { kAll, kSomeLost };
  void end(Kind& kind, Manner manner, Parts parts);
  /// Memory that a span finds at the same place at every replay.
  Tensor fixed(const Shape& shape, DType dtype);
  /// The same, never memory of a span's own work: it may be written while an earlier span of the step runs. To be kept until the
  /// step ends.
  Tensor port(const Shape& shape, DType dtype);
  /// Forgets every recording: parameters have moved.
  void clear();
  /// Spans replayed so far: for tests.
  std::int64_t replays() const { return replays_; }

 private:
  Context& ctx_;
  std::shared_ptr<DeviceStream::Arena> arena_, ports_;  // shared with the stream's own bookkeeping: see DeviceStream::make_arena
  std::map<Key, Kind> kinds_;
  std::int64_t replays_ = 0;
};

/// Copies from the host to the device that do not wait for it: through a ring of pinned memory. What a step finds in its ports is
/// copied ahead, on a stream of its own, while the step computes what came before.
class Staging {
 public:
  explicit Staging(Context& ctx);
  ~Staging();  ///< waits for the copies
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;
  /// `to` (on the device) = bytes, in stream order; `bytes` may go when the call returns. Waits only where every slot of the ring
  /// is still being copied.
  void copy(ByteSpan bytes, Tensor& to);
  /// A step begins: copies ahead come after all work that is queued now, which may still read the ports of earlier steps.
  void begin_step();
  /// As copy(), beside the work that is queued since the step began. `to`: a port.
  void copy_ahead(ByteSpan bytes, Tensor& to);
  /// Work that is queued from now on finds what was copied ahead.
  void join();

 private:
  struct Slot {
    Tensor memory;  // pinned
    Event copied = nullptr;
  };
  void copy_on(Stream stream, ByteSpan bytes, Tensor& to);
  static constexpr std::size_t kSlots = 8;  // two parts of a step: a batch, its labels and what comes back
  Context& ctx_;
  Stream ahead_;
  Event step_begun_, copied_ahead_;
  bool unjoined_ = false;  // something was copied ahead since the last join()
  std::vector<Slot> ring_;
  std::size_t next_ = 0;
};

}  // namespace sutura
