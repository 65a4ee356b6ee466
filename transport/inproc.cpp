#include "transport/inproc.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>

#include "core/error.h"
#include "transport/control.h"

namespace sutura {

void Baton::acquire() {
  std::unique_lock lock(mutex_);
  const std::uint64_t ticket = next_ticket_++;
  turn_.wait(lock, [&] { return serving_ == ticket; });
}

void Baton::release() {
  {
    const std::lock_guard lock(mutex_);
    ++serving_;
  }
  turn_.notify_all();
}

namespace {

/// What one end has received and not yet taken.
struct Inbox {
  std::map<Tag, Message> data;
  std::deque<Message> control;
  std::optional<Reject> refused;
  bool ended = false;  // the other end is gone or said goodbye
  std::size_t size() const { return data.size() + control.size(); }
};

struct Pipe {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::array<Inbox, 2> inboxes;
};

bool same_content(const Message& a, const Message& b) {
  return a.control == b.control && std::equal(a.tensors.begin(), a.tensors.end(), b.tensors.begin(), b.tensors.end(),
                                              [](const WireTensor& x, const WireTensor& y) {
                                                return x.dtype == y.dtype && x.shape == y.shape && x.data == y.data;
                                              });
}

class InprocChannel final : public Channel {
 public:
  InprocChannel(std::shared_ptr<Pipe> pipe, std::size_t side, const InprocSettings& settings)
      : pipe_(std::move(pipe)), own_(pipe_->inboxes[side]), peer_(pipe_->inboxes[1 - side]), settings_(settings) {}
  InprocChannel(const InprocChannel&) = delete;
  InprocChannel& operator=(const InprocChannel&) = delete;
  ~InprocChannel() override {
    {
      const std::lock_guard lock(pipe_->mutex);
      peer_.ended = true;
      own_ = {};
    }
    pipe_->changed.notify_all();
  }

  [[nodiscard]] Outcome send(Message&& message, Deadline deadline) override {
    std::unique_lock lock(pipe_->mutex);
    const bool goodbye = message.type == MessageType::kGoodbye;
    const auto ready = [&] { return own_.refused || own_.ended || goodbye || peer_.size() < settings_.window; };
    if (const Outcome waited = wait(lock, deadline, ready); waited != Outcome::kOk) return waited;
    if (own_.refused) throw refusal(*own_.refused);
    if (own_.ended) return Outcome::kPeerGone;
    deliver(std::move(message));
    lock.unlock();
    pipe_->changed.notify_all();
    return Outcome::kOk;
  }

  [[nodiscard]] std::variant<Message, Outcome> receive(const Tag& tag, Deadline deadline) override {
    std::unique_lock lock(pipe_->mutex);
    const bool control = tag.leg == Leg::kControl;
    const auto arrived = [&] { return control ? !own_.control.empty() : own_.data.contains(tag); };
    const auto ready = [&] { return arrived() || own_.refused || own_.ended; };
    if (const Outcome waited = wait(lock, deadline, ready); waited != Outcome::kOk) return waited;
    if (!arrived()) {
      if (own_.refused) throw refusal(*own_.refused);
      return Outcome::kPeerGone;
    }
    Message message;
    if (control) {
      message = std::move(own_.control.front());
      own_.control.pop_front();
    } else {
      message = std::move(own_.data.extract(tag).mapped());
    }
    lock.unlock();
    pipe_->changed.notify_all();
    return message;
  }

 private:
  /// kOk: `ready` holds and the lock is held.
  template <class Ready>
  Outcome wait(std::unique_lock<std::mutex>& lock, Deadline deadline, const Ready& ready) {
    if (settings_.stop.stop_requested()) return Outcome::kStopped;
    if (ready()) return Outcome::kOk;
    if (deadline <= std::chrono::steady_clock::now()) return Outcome::kTimeout;
    if (!settings_.baton) return wait_here(lock, deadline, ready);
    settings_.baton->release();
    Outcome outcome = wait_here(lock, deadline, ready);
    // The baton is taken without the lock: who holds it may be waiting for the lock. What made us ready stays: only this end
    // takes from its inbox and only this end fills the peer's.
    lock.unlock();
    settings_.baton->acquire();
    lock.lock();
    return outcome;
  }
  template <class Ready>
  Outcome wait_here(std::unique_lock<std::mutex>& lock, Deadline deadline, const Ready& ready) {
    if (pipe_->changed.wait_until(lock, settings_.stop, deadline, ready)) return Outcome::kOk;
    return settings_.stop.stop_requested() ? Outcome::kStopped : Outcome::kTimeout;
  }

  void deliver(Message&& message) {
    if (peer_.ended && message.type == MessageType::kGoodbye) return;
    require(!peer_.ended, Errc::kInternal, "a message was sent after the goodbye");
    if (message.type == MessageType::kGoodbye) {
      peer_.ended = true;
    } else if (message.type == MessageType::kData) {
      require(message.tag.leg != Leg::kControl, Errc::kInvalidArgument, "cannot send data on the control leg");
      const auto [known, fresh] = peer_.data.try_emplace(message.tag, std::move(message));
      // try_emplace leaves the message alone if the tag is known.
      require(fresh || same_content(known->second, message), Errc::kProtocol,
              "equivocation: a known message came again with other content");
    } else {
      require(message.type != MessageType::kAck && message.tag.leg == Leg::kControl && message.tensors.empty(),
              Errc::kInvalidArgument, "a control message has the control leg and no tensors");
      if (message.type == MessageType::kReject) peer_.refused = from_message<Reject>(message);
      peer_.control.push_back(std::move(message));
    }
  }

  // shared_ptr: either end may be destroyed first, on its own thread.
  std::shared_ptr<Pipe> pipe_;
  Inbox& own_;
  Inbox& peer_;
  InprocSettings settings_;
};

}  // namespace

ChannelPair make_channel_pair(const InprocSettings& settings) {
  require(settings.window >= 1, Errc::kInvalidArgument, "the window of a channel is at least 1 message");
  auto pipe = std::make_shared<Pipe>();
  return {std::make_unique<InprocChannel>(pipe, 0, settings), std::make_unique<InprocChannel>(pipe, 1, settings)};
}

}  // namespace sutura
