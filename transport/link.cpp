#include "transport/link.h"

#include <algorithm>

#include "core/error.h"

namespace sutura {
namespace {

/// Messages that may go before the peer's first acknowledgement has told its window.
constexpr std::uint64_t kFirstCredit = 4;
/// Goodbye and refusal may exceed the window by this much.
constexpr std::uint64_t kSlack = 4;

}  // namespace

Link::Link(const LinkSettings& settings, LinkRole role, std::uint64_t run, LinkCounters& counters, Time now)
    : settings_(settings),
      role_(role),
      run_(run),
      incarnation_(settings.incarnation),
      counters_(counters),
      send_limit_(kFirstCredit),
      last_heard_(now),
      patience_(settings.resend_after) {
  require(settings.window >= kFirstCredit, Errc::kInvalidArgument, "the window of a link is at least 4 messages");
  told_limit_ = settings.window;
}

void Link::set_incarnation(std::uint32_t incarnation) {
  require(incarnation >= incarnation_, Errc::kInternal, "an incarnation never falls");
  incarnation_ = incarnation;
}

void Link::submit(EncodedPayload&& payload, Time now) {
  require(can_send(), Errc::kInternal, "a message was submitted to a full or closed link");
  if (unacked_.empty()) ask_at_ = now + patience_;
  unacked_.push_back(std::move(payload));
  ++next_seq_;
}

void Link::close(Time now) {
  if (closing_) return;
  closing_ = true;
  Message goodbye;
  goodbye.type = MessageType::kGoodbye;
  goodbye.tag.edge = 0xffff;
  if (unacked_.empty()) ask_at_ = now + patience_;
  unacked_.push_back(encode_payload(goodbye));
  ++next_seq_;
}

std::optional<Message> Link::take(const Tag& tag, Time now) {
  std::optional<Message> out;
  if (tag.leg == Leg::kControl) {
    if (control_.empty()) return out;
    out = std::move(control_.front());
    control_.pop_front();
  } else {
    const auto found = inbox_.find(tag);
    if (found == inbox_.end()) return out;
    out = std::move(found->second);
    inbox_.erase(found);
  }
  // Tell the peer about the room before it runs into the wall.
  if (received_ + credit() >= told_limit_ + settings_.window / 2) ack_by(now);
  return out;
}

std::uint16_t Link::credit() const {
  const std::size_t held = inbox_.size() + control_.size();
  return held >= settings_.window ? std::uint16_t{0} : static_cast<std::uint16_t>(settings_.window - held);
}

FrameHeader Link::stamp(std::uint8_t flags) {
  FrameHeader header;
  header.flags = flags;
  if (role_ == LinkRole::kFollows && !heard_) header.flags |= kFlagOpening;
  header.run = run_;
  header.ack = received_;
  header.incarnation = incarnation_;
  header.credit = credit();
  told_received_ = received_;
  told_limit_ = received_ + header.credit;
  ack_at_ = Time::max();
  return header;
}

std::vector<SharedFrame> Link::ack_packet(std::uint8_t flags, std::uint64_t number) {
  EncodedPayload nothing;
  nothing.tag.edge = 0xffff;
  nothing.tag.step = number;
  return {std::make_shared<const Bytes>(encode_header(stamp(flags), nothing))};
}

std::optional<std::vector<SharedFrame>> Link::next_packet(Time now) {
  if (dead_ || forgot_) return std::nullopt;
  if (reply_) {
    const std::uint64_t number = *reply_;
    reply_.reset();
    return ack_packet(kFlagReply, number);
  }
  if (next_to_send_ < next_seq_) {
    const EncodedPayload& payload = unacked_[next_to_send_ - acked_ - 1];
    FrameHeader header = stamp(0);
    header.seq = next_to_send_;
    std::vector<SharedFrame> frames{std::make_shared<const Bytes>(encode_header(header, payload))};
    frames.insert(frames.end(), payload.frames.begin(), payload.frames.end());
    ++(next_to_send_ > highest_sent_ ? counters_.sent : counters_.resent);
    highest_sent_ = std::max(highest_sent_, next_to_send_++);
    return frames;
  }
  if (ask_time() <= now) {
    asked_highest_ = highest_sent_;
    if (unacked_.empty()) {
      ask_at_ = now + settings_.heartbeat;
    } else {
      ask_at_ = now + patience_;
      patience_ = std::min(2 * patience_, 8 * settings_.resend_after);
    }
    ++counters_.asks;
    return ack_packet(kFlagAsk, ++ask_number_);
  }
  if (ack_at_ <= now) return ack_packet(0, 0);
  return std::nullopt;
}

Link::Time Link::next_wakeup(Time now) const {
  if (dead_ || forgot_) return Time::max();
  if (reply_ || next_to_send_ < next_seq_) return now;
  return std::min(ask_time(), ack_at_);
}

Link::Time Link::ask_time() const {
  // Nothing to ask a peer that has left, or after the peer has confirmed our goodbye.
  return goodbye_ || (closing_ && unacked_.empty()) ? Time::max() : ask_at_;
}

void Link::on_reconnect(Time now) {
  next_to_send_ = acked_ + 1;
  asked_highest_ = 0;
  reply_.reset();
  patience_ = settings_.resend_after;
  // Even with nothing to resend the peer has to learn of the new connection.
  if (heard_ || highest_sent_ > 0) {
    ack_at_ = now;
    ask_at_ = now + (unacked_.empty() ? settings_.heartbeat : patience_);
  }
}

bool Link::drained() const {
  if (dead_ || forgot_) return true;
  if (!closing_ || reply_ || ack_at_ != Time::max()) return false;
  if (unacked_.empty()) return true;
  // A peer that has left reads nothing more, but our goodbye spares it a wait.
  return (goodbye_ || refused_) && next_to_send_ == next_seq_;
}

void Link::on_packet(Decoded&& packet, Time now) {
  const FrameHeader& header = packet.header;
  if (header.incarnation < incarnation_ && !(header.flags & kFlagOpening)) {
    ++counters_.fenced;
    return;
  }
  if (header.incarnation > incarnation_) {
    require(role_ == LinkRole::kFollows, Errc::kProtocol, "a client claims a later incarnation than the server's");
    incarnation_ = header.incarnation;
  }
  const bool first = !heard_;
  if (header.type == MessageType::kReject && header.seq == 0) {
    last_heard_ = now;
    on_reject(packet.message);
    return;
  }
  heard_ = true;
  last_heard_ = now;
  if (unacked_.empty() || first) ask_at_ = now + (unacked_.empty() ? settings_.heartbeat : patience_);
  on_ack(header, now);
  if (header.type == MessageType::kAck) {
    on_acknowledgement(header);
  } else {
    on_sequenced(std::move(packet), now);
  }
}

void Link::on_ack(const FrameHeader& header, Time now) {
  require(header.ack <= highest_sent_, Errc::kProtocol, "the peer acknowledges what was never sent");
  if (header.ack > acked_) {
    unacked_.erase(unacked_.begin(), unacked_.begin() + static_cast<std::ptrdiff_t>(header.ack - acked_));
    acked_ = header.ack;
    next_to_send_ = std::max(next_to_send_, acked_ + 1);
    patience_ = settings_.resend_after;
    ask_at_ = now + (unacked_.empty() ? settings_.heartbeat : patience_);
  }
  send_limit_ = std::max(send_limit_, header.ack + header.credit);
}

void Link::on_reject(const Message& message) {
  const Reject reject = from_message<Reject>(message);
  // While opening, a retryable refusal means "not yet": another session with this key still counts as alive.
  if (reject.retryable && !heard_) return;
  if (reject.retryable && reject.code == Errc::kNetwork) {
    forgot_ = true;
  } else {
    refused_ = reject;
    dead_ = true;
  }
}

void Link::on_acknowledgement(const FrameHeader& header) {
  require(header.seq == 0, Errc::kProtocol, "an acknowledgement with a sequence number");
  if (header.flags & kFlagAsk) reply_ = header.tag.step;
  if (header.flags & kFlagReply && header.tag.step == ask_number_ && asked_highest_ > 0) {
    // All sent before the question and not acknowledged by the answer is lost.
    if (acked_ < asked_highest_) next_to_send_ = acked_ + 1;
    asked_highest_ = 0;
  }
}

void Link::equivocation() {
  ++counters_.equivocations;
  throw Error(Errc::kProtocol, "equivocation: a known message came again with other content");
}

void Link::check_known(std::uint64_t seq, const Digest& digest) {
  for (const Known& known : known_)
    if (known.seq == seq && known.digest != digest) equivocation();
}

void Link::on_sequenced(Decoded&& packet, Time now) {
  const std::uint64_t seq = packet.header.seq;
  require(seq > 0, Errc::kProtocol, "a message without a sequence number");
  if (seq <= received_) {
    check_known(seq, packet.digest);
    ++counters_.duplicates;
    ack_by(now);  // the first acknowledgement may be what was lost
    return;
  }
  require(seq <= received_ + credit() + kSlack, Errc::kProtocol, "the peer sent more than it was allowed");
  if (const auto early = early_.find(seq); early != early_.end()) {
    if (early->second.digest != packet.digest) equivocation();
    ++counters_.duplicates;
    return;
  }
  if (seq != received_ + 1) {
    early_.emplace(seq, std::move(packet));
    ack_by(now);
    return;
  }
  deliver(seq, std::move(packet.message), packet.digest, now);
  for (auto next = early_.begin(); next != early_.end() && next->first == received_ + 1; next = early_.erase(next))
    deliver(next->first, std::move(next->second.message), next->second.digest, now);
}

bool Link::known_tag(const Tag& tag, const Digest& digest) {
  const auto known = known_tags_.find(tag);
  if (known == known_tags_.end()) return false;
  if (known->second != digest) equivocation();
  return true;
}

void Link::remember(std::uint64_t seq, const Tag& tag, const Digest& digest) {
  known_.push_back({seq, tag, digest});
  if (tag.leg != Leg::kControl) known_tags_.emplace(tag, digest);
  if (known_.size() <= 2u * settings_.window) return;
  Known oldest = known_.front();
  known_.pop_front();
  if (inbox_.contains(oldest.tag)) {
    known_.push_back(oldest);  // a tag that nobody has asked for stays known with its message
  } else {
    known_tags_.erase(oldest.tag);
  }
}

void Link::deliver(std::uint64_t seq, Message&& message, const Digest& digest, Time now) {
  require(!goodbye_, Errc::kProtocol, "a message after the goodbye");
  received_ = seq;
  const bool data = message.type == MessageType::kData;
  // Data in the other direction may carry the acknowledgement, unless a quarter of the window waits for it.
  ack_by(data && received_ - told_received_ < settings_.window / 4u ? now + settings_.ack_delay : now);
  if (data && known_tag(message.tag, digest)) {
    ++counters_.duplicates;
    return;
  }
  remember(seq, message.tag, digest);
  ++counters_.received;
  if (data) {
    inbox_.emplace(message.tag, std::move(message));
  } else if (message.type == MessageType::kGoodbye) {
    goodbye_ = true;
  } else {
    if (message.type == MessageType::kReject) refused_ = from_message<Reject>(message);
    control_.push_back(std::move(message));
  }
}

}  // namespace sutura
