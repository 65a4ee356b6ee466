#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "runtime/alignment/protocol.h"
#include "transport/inproc.h"
#include "transport/security.h"

namespace sutura {

/// The server's end of a channel, which keeps what passes and can change what arrives.
class Tapped final : public Channel {
 public:
  using Change = std::function<void(Message&)>;
  explicit Tapped(std::unique_ptr<Channel> inner, Change change = {}) : inner_(std::move(inner)), change_(std::move(change)) {}
  [[nodiscard]] Outcome send(Message&& message, Deadline deadline) override {
    keep(message);
    return inner_->send(std::move(message), deadline);
  }
  [[nodiscard]] std::variant<Message, Outcome> receive(const Tag& tag, Deadline deadline) override {
    auto answer = inner_->receive(tag, deadline);
    if (auto* message = std::get_if<Message>(&answer)) {
      keep(*message);
      if (change_) change_(*message);
    }
    return answer;
  }
  const std::string& bytes() const { return bytes_; }
  std::size_t largest() const { return largest_; }

 private:
  void keep(const Message& message) {
    for (const WireTensor& t : message.tensors) {
      bytes_.append(reinterpret_cast<const char*>(t.data.data()), t.data.size());
      largest_ = std::max(largest_, t.data.size());
    }
    bytes_.append(reinterpret_cast<const char*>(message.control.data()), message.control.size());
  }
  std::unique_ptr<Channel> inner_;
  Change change_;
  std::string bytes_;
  std::size_t largest_ = 0;
};

/// What one member ended with.
struct Ending {
  std::optional<Alignment> alignment;
  std::optional<Error> error;
};

/// Members with keys of their own around a server, joined by channels inside the process.
class Room {
 public:
  using Part = std::function<Alignment(const std::string& name, Channel& server)>;

  explicit Room(std::size_t members, std::chrono::milliseconds patience = std::chrono::seconds(20)) {
    terms.run = 77;
    terms.seed = 5;
    terms.patience = patience;
    for (std::size_t m = 0; m < members; ++m) {
      const std::string name = "site" + std::to_string(m);
      terms.members.push_back(name);
      identities.emplace(name, Identity(new_key_pair().secret_z85));
      roster.emplace(name, identities.at(name).open_key());
    }
  }

  Alignment align(const std::vector<std::string>& ids, const std::string& name, Channel& server) const {
    return align_as_party(ids, name, server, identities.at(name), roster, terms);
  }

  /// Runs every member on a thread and the relay here. `changes`: what the server's end does to messages of a member.
  void run(const std::vector<std::vector<std::string>>& ids, const std::map<std::string, Part>& parts = {},
           const std::map<std::string, Tapped::Change>& changes = {}, std::uint16_t window = 2) {
    std::vector<std::jthread> threads;
    for (std::size_t m = 0; m < ids.size(); ++m) {
      const std::string& name = terms.members[m];
      ChannelPair pair = make_channel_pair({.window = window, .baton = nullptr, .stop = {}});
      taps[name] = std::make_unique<Tapped>(std::move(pair.second), changes.contains(name) ? changes.at(name) : Tapped::Change{});
      const Part part = parts.contains(name) ? parts.at(name) : Part{[this, &ids, m](const std::string& self, Channel& server) {
        return align(ids[m], self, server);
      }};
      threads.emplace_back([this, name, part, end = std::move(pair.first)]() mutable {
        Ending ending;
        try {
          ending.alignment = part(name, *end);
        } catch (const Error& e) {
          ending.error = e;
        }
        end.reset();
        const std::lock_guard lock(mutex_);
        endings[name] = std::move(ending);
      });
    }
    try {
      sizes = relay_alignment(terms, [this](const std::string& name) -> Channel& { return *taps.at(name); });
    } catch (const Error& e) {
      error = e;
    }
  }

  AlignmentTerms terms;
  std::map<std::string, Identity> identities;
  Roster roster;
  std::map<std::string, std::unique_ptr<Tapped>> taps;
  std::map<std::string, Ending> endings;
  AlignmentSizes sizes;
  std::optional<Error> error;  ///< of the server

 private:
  std::mutex mutex_;
};

}  // namespace sutura
