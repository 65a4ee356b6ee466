#include "tests/integration/raw_site.h"

#include "core/clock.h"
#include "tests/support/process.h"
#include "transport/security.h"
#include "transport/socket_options.h"

namespace sutura::testing {
namespace {

constexpr std::uint64_t kRun = 0x5afe;
constexpr std::chrono::milliseconds kSlice{100};

}  // namespace

RawSite::RawSite(const std::string& endpoint, const std::filesystem::path& server_public, const std::filesystem::path& secret) {
  dealer_.set(zmq::sockopt::linger, 0);
  dealer_.set(zmq::sockopt::reconnect_ivl, -1);
  secure_client(dealer_, load_public(server_public), load_secret(secret));
  dealer_.connect(endpoint);
}

void RawSite::send(const std::vector<Bytes>& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i)
    dealer_.send(zmq::const_buffer(frames[i].data(), frames[i].size()),
                 i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
}

void RawSite::send(std::uint64_t seq, const Message& message) {
  FrameHeader header;
  header.run = kRun;
  header.seq = seq;
  header.flags = seq == 1 ? kFlagOpening : std::uint8_t{0};
  header.credit = 64;
  std::vector<Bytes> frames;
  for (const SharedFrame& frame : encode(header, message)) frames.push_back(*frame);
  send(frames);
}

std::optional<Message> RawSite::receive(MessageType type) {
  const Deadline deadline = deadline_in(kPatience);
  while (std::chrono::steady_clock::now() < deadline) {
    while (const auto got = receive_message(dealer_)) {
      Decoded packet = decode(got->views(0));
      if (packet.header.type == type) return std::move(packet.message);
    }
    zmq::pollitem_t item{dealer_.handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kSlice);
  }
  return std::nullopt;
}

bool RawSite::sees(std::uint16_t event) {
  const Deadline deadline = deadline_in(kPatience);
  while (std::chrono::steady_clock::now() < deadline) {
    while (const auto got = monitor_.next())
      if (got->event == event) return true;
    zmq::pollitem_t item{monitor_.socket().handle(), 0, ZMQ_POLLIN, 0};
    zmq::poll(&item, 1, kSlice);
  }
  return false;
}

Message control_message(MessageType type, Bytes body) {
  Message m;
  m.type = type;
  m.tag.edge = 0xffff;
  m.control = std::move(body);
  return m;
}

Bytes size_bomb(std::size_t before) {
  Bytes body(before);
  body.insert(body.end(), 4, std::byte{0xff});
  body.insert(body.end(), 8, std::byte{0});
  return body;
}

}  // namespace sutura::testing
