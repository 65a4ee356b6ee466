#pragma once
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "transport/io_thread.h"
#include "transport/security.h"

namespace sutura {

inline bool operator==(const WireTensor& a, const WireTensor& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.data == b.data;
}

/// Settings whose waits suit a test.
inline LinkSettings quick() {
  LinkSettings s;
  s.reconnect = std::chrono::milliseconds(20);
  s.reconnect_max = std::chrono::milliseconds(100);
  s.resend_after = std::chrono::milliseconds(100);
  s.heartbeat = std::chrono::milliseconds(200);
  s.max_frame_bytes = 8 << 20;
  return s;
}

/// Far beyond what a working test needs, so that a broken one ends.
inline Deadline soon() { return deadline_in(std::chrono::seconds(20)); }

/// Waits for something that another thread brings about.
template <class Condition>
bool eventually(const Condition& condition) {
  const Deadline deadline = soon();
  while (!condition() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  return condition();
}

/// A data message with one tensor whose values are drawn from `seed`.
inline Message numbers(std::uint16_t edge, Leg leg, std::uint64_t step, std::uint64_t seed, std::int64_t rows = 8) {
  Message m;
  m.tag = {edge, leg, step, 0};
  WireTensor t;
  t.shape = Shape{rows, 16};
  std::vector<float> values(static_cast<std::size_t>(t.shape.elements()));
  std::uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
  for (float& v : values) {
    x = x * 6364136223846793005ull + 1442695040888963407ull;
    v = static_cast<float>(x >> 40) / 16777216.0f - 0.5f;
  }
  const ByteSpan raw = as_bytes(values);
  t.data.assign(raw.begin(), raw.end());
  m.tensors.push_back(std::move(t));
  return m;
}

/// The message, or a test failure that names the outcome.
inline Message must_receive(Channel& channel, const Tag& tag, Deadline deadline = soon()) {
  auto got = channel.receive(tag, deadline);
  if (auto* message = std::get_if<Message>(&got)) return std::move(*message);
  ADD_FAILURE() << "no message: outcome " << static_cast<int>(std::get<Outcome>(got));
  return {};
}

/// Sends although the connection may already have been refused for the key: then send() throws what receive() would.
inline void send_or_be_refused(Channel& channel, Message&& message) {
  try {
    (void)channel.send(std::move(message), soon());
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kAuthentication);
  }
}

/// A server on a free loopback port and keys for its sites.
class World {
 public:
  explicit World(const std::vector<std::string>& sites, const LinkSettings& settings = quick()) {
    ServerSecurity security;
    security.secret_key_z85 = server_.secret_z85;
    for (const std::string& site : sites) {
      keys_[site] = new_key_pair();
      security.authorised[keys_[site].public_z85] = site;
    }
    endpoint_ = std::make_unique<ServerEndpoint>("tcp://127.0.0.1:*", security, settings);
  }
  ServerEndpoint& server() { return *endpoint_; }
  void close() { endpoint_.reset(); }
  const std::string& server_public() const { return server_.public_z85; }
  const std::string& secret(const std::string& site) const { return keys_.at(site).secret_z85; }
  std::unique_ptr<ClientEndpoint> client(const std::string& site, const LinkSettings& settings = quick()) {
    return std::make_unique<ClientEndpoint>(endpoint_->bound_endpoint(), server_public(), secret(site), settings);
  }

 private:
  KeyPair server_ = new_key_pair();
  std::map<std::string, KeyPair> keys_;
  std::unique_ptr<ServerEndpoint> endpoint_;
};

}  // namespace sutura
