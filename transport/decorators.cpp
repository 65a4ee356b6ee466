#include "transport/decorators.h"

#include <algorithm>
#include <thread>

#include "transport/codec.h"

namespace sutura {

TrafficCount& TrafficCount::operator+=(const TrafficCount& other) {
  messages += other.messages;
  payload_bytes += other.payload_bytes;
  frame_bytes += other.frame_bytes;
  return *this;
}

TrafficCount Traffic::total() const {
  TrafficCount sum;
  for (const TrafficCount& count : by_leg) sum += count;
  return sum;
}

namespace {

TrafficCount cost(const Message& message) { return {1, payload_bytes(message), frame_bytes(message)}; }

}  // namespace

Outcome CountingChannel::send(Message&& message, Deadline deadline) {
  const TrafficCount count = cost(message);
  const auto leg = static_cast<std::size_t>(message.tag.leg);
  const Outcome outcome = inner_->send(std::move(message), deadline);
  if (outcome == Outcome::kOk) sent_.by_leg[leg] += count;
  return outcome;
}

std::variant<Message, Outcome> CountingChannel::receive(const Tag& tag, Deadline deadline) {
  auto got = inner_->receive(tag, deadline);
  if (const auto* message = std::get_if<Message>(&got)) received_.by_leg[static_cast<std::size_t>(tag.leg)] += cost(*message);
  return got;
}

bool FaultyChannel::strikes(double probability) {
  const double u = static_cast<double>(random_() >> 11) * 0x1.0p-53;
  if (u >= probability) return false;
  ++faults_;
  return true;
}

void FaultyChannel::delay(Deadline deadline) {
  if (!strikes(settings_.delay)) return;
  const auto longest = static_cast<std::uint64_t>(std::max<std::int64_t>(1, settings_.max_delay.count()));
  const std::chrono::microseconds wait(static_cast<std::int64_t>(random_() % longest));
  std::this_thread::sleep_until(std::min(deadline, std::chrono::steady_clock::now() + wait));
}

Outcome FaultyChannel::send(Message&& message, Deadline deadline) {
  delay(deadline);
  if (strikes(settings_.timeout)) return Outcome::kTimeout;
  if (message.type == MessageType::kData && strikes(settings_.duplicate)) {
    Message copy = message;
    if (const Outcome outcome = inner_.send(std::move(copy), deadline); outcome != Outcome::kOk) return outcome;
  }
  return inner_.send(std::move(message), deadline);
}

std::variant<Message, Outcome> FaultyChannel::receive(const Tag& tag, Deadline deadline) {
  delay(deadline);
  if (strikes(settings_.timeout)) return Outcome::kTimeout;
  return inner_.receive(tag, deadline);
}

}  // namespace sutura
