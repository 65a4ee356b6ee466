#pragma once
#include <array>
#include <chrono>
#include <random>

#include "transport/channel.h"

namespace sutura {

struct TrafficCount {
  std::uint64_t messages = 0;
  std::uint64_t payload_bytes = 0;  ///< tensor values and control bodies
  std::uint64_t frame_bytes = 0;    ///< with headers and descriptors, before encryption
  TrafficCount& operator+=(const TrafficCount& other);
  bool operator==(const TrafficCount&) const = default;
};

/// Traffic in one direction, by leg.
struct Traffic {
  std::array<TrafficCount, 4> by_leg;  ///< indexed by Leg
  const TrafficCount& on(Leg leg) const { return by_leg[static_cast<std::size_t>(leg)]; }
  TrafficCount total() const;
};

/// Counts what passes; resends of the link below are not seen. Threads: those of the channel.
class CountingChannel final : public Channel {
 public:
  explicit CountingChannel(Channel& inner) : inner_(&inner) {}
  /// Counts on over another channel: the peer began a new session.
  void rebind(Channel& inner) { inner_ = &inner; }
  [[nodiscard]] Outcome send(Message&& message, Deadline deadline) override;
  [[nodiscard]] std::variant<Message, Outcome> receive(const Tag& tag, Deadline deadline) override;
  const Traffic& sent() const { return sent_; }
  const Traffic& received() const { return received_; }

 private:
  Channel* inner_;
  Traffic sent_;
  Traffic received_;
};

/// How often a FaultyChannel does what; probabilities per call.
struct FaultSettings {
  std::uint64_t seed = 1;
  double timeout = 0;    ///< return kTimeout at once, nothing happens
  double duplicate = 0;  ///< send the message twice
  double delay = 0;      ///< wait before the call, up to max_delay (or the deadline)
  std::chrono::microseconds max_delay{1000};
};

/// For tests: a channel with seeded faults of the kinds that a caller must survive.
class FaultyChannel final : public Channel {
 public:
  FaultyChannel(Channel& inner, const FaultSettings& settings) : inner_(inner), settings_(settings), random_(settings.seed) {}
  [[nodiscard]] Outcome send(Message&& message, Deadline deadline) override;
  [[nodiscard]] std::variant<Message, Outcome> receive(const Tag& tag, Deadline deadline) override;
  std::uint64_t faults() const { return faults_; }

 private:
  bool strikes(double probability);
  void delay(Deadline deadline);

  Channel& inner_;
  FaultSettings settings_;
  std::mt19937_64 random_;
  std::uint64_t faults_ = 0;
};

}  // namespace sutura
