#pragma once
#include <deque>
#include <map>
#include <optional>

#include "core/clock.h"
#include "transport/codec.h"
#include "transport/control.h"
#include "transport/link_settings.h"

namespace sutura {

/// Who decides the incarnation: the server leads, a client follows.
enum class LinkRole : std::uint8_t { kLeads, kFollows };

/// One end of a reliable, ordered, exactly-once message stream, as a state machine without sockets and clocks: the owner
/// hands in what arrived and the time, and takes out what is to be transmitted.
///
/// Every message but an acknowledgement has a sequence number from 1. `ack` is cumulative; `credit` says how many messages
/// beyond `ack` the sender will hold. Nothing is retransmitted on a guess: after a silence the sender asks, and the answer,
/// which a connection keeps behind all data before the question, shows what was lost. After a reconnect everything
/// unacknowledged goes out again, payload frames to the byte.
/// Threads: none of its own; the owner locks.
/// Source: zguide chapter 4 (Paranoid Pirate, idempotent services); RFC 9293 section 3.8 for the window.
class Link {
 public:
  using Time = Deadline;
  Link(const LinkSettings& settings, LinkRole role, std::uint64_t run, LinkCounters& counters, Time now);

  // --- application side
  /// True while the peer has room for one more message.
  bool can_send() const { return next_seq_ <= send_limit_ && !closing_; }
  /// Takes a message for transmission. Errors: kInternal if the window is full.
  void submit(EncodedPayload&& payload, Time now);
  /// Ends the stream: a goodbye follows all messages, whatever the window says. Repeated calls do nothing.
  void close(Time now);
  /// The message with this tag, or for leg kControl the oldest control message, if it has arrived in order.
  std::optional<Message> take(const Tag& tag, Time now);

  // --- network side
  /// The frames to transmit now, if any; call until it returns nothing.
  std::optional<std::vector<SharedFrame>> next_packet(Time now);
  /// A bare acknowledgement, to see whether the peer can be reached.
  std::vector<SharedFrame> sign_of_life() { return ack_packet(0, 0); }
  /// When next_packet() should be called again although nothing arrived and nobody sent.
  Time next_wakeup(Time now) const;
  /// A decoded message of this run arrived. Errors: kProtocol if the peer broke the rules; the link is then of no more use.
  void on_packet(Decoded&& packet, Time now);
  /// The connection is a new one: what was under way on the old one may be lost.
  void on_reconnect(Time now);

  // --- state
  std::uint64_t run() const { return run_; }
  std::uint32_t incarnation() const { return incarnation_; }
  /// Raises the number that all later messages carry and that older ones are measured against.
  void set_incarnation(std::uint32_t incarnation);
  bool heard() const { return heard_; }
  bool closing() const { return closing_; }
  bool peer_said_goodbye() const { return goodbye_; }
  /// Nothing that the peer still needs is left here.
  bool drained() const;
  /// When the peer counts as gone unless it says something.
  Time silent_at() const { return heard_ ? last_heard_ + settings_.peer_timeout + settings_.frame_time() : Time::max(); }
  /// The peer's refusal, if it sent one: on the link itself, or as a message.
  const std::optional<Reject>& refused() const { return refused_; }
  /// The peer has restarted and knows nothing of this session.
  bool peer_forgot() const { return forgot_; }

 private:
  struct Known {
    std::uint64_t seq;
    Tag tag;
    Digest digest;
  };

  FrameHeader stamp(std::uint8_t flags);
  std::vector<SharedFrame> ack_packet(std::uint8_t flags, std::uint64_t number);
  std::uint16_t credit() const;
  void on_ack(const FrameHeader& header, Time now);
  void on_reject(const Message& message);
  void on_acknowledgement(const FrameHeader& header);
  void on_sequenced(Decoded&& packet, Time now);
  void deliver(std::uint64_t seq, Message&& message, const Digest& digest, Time now);
  void remember(std::uint64_t seq, const Tag& tag, const Digest& digest);
  bool known_tag(const Tag& tag, const Digest& digest);
  void check_known(std::uint64_t seq, const Digest& digest);
  [[noreturn]] void equivocation();
  Time ask_time() const;
  void ack_by(Time when) { ack_at_ = std::min(ack_at_, when); }

  LinkSettings settings_;
  LinkRole role_;
  std::uint64_t run_;
  std::uint32_t incarnation_;
  LinkCounters& counters_;

  // Sending: unacked_[i] has sequence number acked_ + 1 + i.
  std::deque<EncodedPayload> unacked_;
  std::uint64_t acked_ = 0;
  std::uint64_t next_seq_ = 1;
  std::uint64_t next_to_send_ = 1;
  std::uint64_t highest_sent_ = 0;
  std::uint64_t send_limit_;
  bool closing_ = false;

  // Receiving.
  std::uint64_t received_ = 0;  // highest number up to which nothing is missing
  std::map<std::uint64_t, Decoded> early_;
  std::map<Tag, Message> inbox_;
  std::deque<Message> control_;
  std::deque<Known> known_;  // the latest delivered messages, oldest first
  std::map<Tag, Digest> known_tags_;
  std::uint64_t told_received_ = 0;  // what the latest transmission acknowledged
  std::uint64_t told_limit_ = 0;     // and allowed
  bool goodbye_ = false;
  std::optional<Reject> refused_;
  bool forgot_ = false;
  bool dead_ = false;  // the peer refused the link itself

  // Timers and questions.
  Time last_heard_;
  Time ask_at_ = Time::max();
  Time ack_at_ = Time::max();
  std::chrono::milliseconds patience_;
  std::uint64_t ask_number_ = 0;
  std::uint64_t asked_highest_ = 0;  // 0: no question is open
  std::optional<std::uint64_t> reply_;
  bool heard_ = false;
};

}  // namespace sutura
