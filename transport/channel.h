#pragma once
#include <variant>

#include "core/clock.h"
#include "transport/message.h"

namespace sutura {

/// What may happen without anything being wrong. Anything else is an Error.
enum class Outcome : std::uint8_t { kOk, kTimeout, kPeerGone, kStopped };

/// Ordered, exactly-once message stream to one peer, addressed by tag.
/// Threads: one thread sends and receives; implementations may move bytes on another.
class Channel {
 public:
  virtual ~Channel() = default;
  /// Takes the message; blocks while the send window is full.
  [[nodiscard]] virtual Outcome send(Message&& message, Deadline deadline) = 0;
  /// The next message with this tag and type kData, or with tag.leg kControl the next control message.
  [[nodiscard]] virtual std::variant<Message, Outcome> receive(const Tag& tag, Deadline deadline) = 0;
};

}  // namespace sutura
