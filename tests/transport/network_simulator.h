#pragma once
#include <map>
#include <queue>
#include <random>
#include <string>
#include <vector>

#include "transport/link.h"

namespace sutura {

/// Two links and a network between them that loses, repeats, delays and reorders packets, drops the connection, and keeps its
/// own time. One seed is one schedule.
class NetworkSimulator {
 public:
  struct Faults {
    double loss = 0.2;
    double repeat = 0.2;
    double reconnect = 0.01;
    int longest_delay_ms = 60;
  };

  NetworkSimulator(std::uint64_t seed, const LinkSettings& settings, const Faults& faults)
      : random_(seed),
        faults_(faults),
        now_(Deadline{} + std::chrono::hours(1)),
        links{Link(settings, LinkRole::kFollows, 77, counters[0], now_),
              Link(settings, LinkRole::kLeads, 77, counters[1], now_)} {}

  bool chance(double p) { return static_cast<double>(random_() >> 11) * 0x1.0p-53 < p; }
  std::uint64_t draw(std::uint64_t n) { return random_() % n; }
  Deadline now() const { return now_; }

  /// Takes everything that both links want to transmit, then lets the next thing happen. False if nothing ever will.
  bool advance() {
    transmit();
    Deadline next = std::min(links[0].next_wakeup(now_), links[1].next_wakeup(now_));
    if (!under_way_.empty()) next = std::min(next, under_way_.top().at);
    if (next == Deadline::max()) return false;
    now_ = std::max(now_, next);
    if (chance(faults_.reconnect)) {
      under_way_ = {};
      for (Link& link : links) link.on_reconnect(now_);
    }
    while (!under_way_.empty() && under_way_.top().at <= now_) {
      const Packet packet = under_way_.top();
      under_way_.pop();
      on_arrival(packet.to, packet.frames);
      const std::vector<ByteSpan> views(packet.frames.begin(), packet.frames.end());
      links[packet.to].on_packet(decode(views), now_);
    }
    return true;
  }

  /// Differences between two transmissions of one message, beyond the fields that may differ.
  int unfaithful_resends = 0;

  LinkCounters counters[2];

 private:
  struct Packet {
    Deadline at;
    std::uint64_t order;
    std::size_t to;
    std::vector<Bytes> frames;
    bool operator<(const Packet& other) const { return std::tie(at, order) > std::tie(other.at, other.order); }
  };

  virtual void on_arrival(std::size_t, const std::vector<Bytes>&) {}

  void transmit() {
    for (std::size_t from = 0; from < 2; ++from) {
      while (const auto packet = links[from].next_packet(now_)) {
        std::vector<Bytes> frames;
        for (const SharedFrame& frame : *packet) frames.push_back(*frame);
        check_resend(from, frames);
        for (int copies = 1 + chance(faults_.repeat); copies > 0; --copies) {
          if (chance(faults_.loss)) continue;
          const std::chrono::milliseconds delay(1 + draw(static_cast<std::uint64_t>(faults_.longest_delay_ms)));
          under_way_.push({now_ + delay, order_++, 1 - from, frames});
        }
      }
    }
  }

  void check_resend(std::size_t from, std::vector<Bytes> frames) {
    const auto seq = load_le<std::uint64_t>(frames[0], 16);
    if (seq == 0) return;
    const std::span header(frames[0]);
    store_le(header, 24, std::uint64_t{0});  // ack
    store_le(header, 40, std::uint32_t{0});  // incarnation
    store_le(header, 58, std::uint16_t{0});  // credit
    store_le(header, 60, std::uint32_t{0});  // checksum
    frames[0][7] &= ~std::byte{kFlagOpening};
    const auto [known, fresh] = transmitted_[from].try_emplace(seq, frames);
    if (!fresh && known->second != frames) ++unfaithful_resends;
  }

  std::mt19937_64 random_;
  Faults faults_;
  Deadline now_;
  std::uint64_t order_ = 0;
  std::priority_queue<Packet> under_way_;
  std::map<std::uint64_t, std::vector<Bytes>> transmitted_[2];

 public:
  Link links[2];
  virtual ~NetworkSimulator() = default;
};

}  // namespace sutura
