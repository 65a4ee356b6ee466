#include "transport/zap.h"

#include <array>

#include "core/clock.h"
#include "core/error.h"
#include "transport/security.h"
#include "transport/socket_io.h"
#include "transport/socket_options.h"

namespace sutura {
namespace {

constexpr std::size_t kCurveKeyBytes = 32;

}  // namespace

ZapHandler::ZapHandler(zmq::context_t& context, std::map<std::string, std::string> authorised)
    : reply_(context, zmq::socket_type::rep), authorised_(std::move(authorised)) {
  require(!authorised_.empty(), Errc::kAuthentication, "no site is authorised");
  for (const auto& [key, site] : authorised_) require_key(key, "the public key of site '" + site + "'");
  reply_.set(zmq::sockopt::linger, 0);
  reply_.bind(kZapEndpoint);
}

int ZapHandler::serve() {
  int refused = 0;
  while (const auto request = receive_message(reply_)) {
    // version, request id, domain, address, identity, mechanism, credentials
    const auto& f = request->frames;
    std::string site;
    if (f.size() == 7 && f[0].to_string_view() == "1.0" && f[2].to_string_view() == kZapDomain &&
        f[5].to_string_view() == "CURVE" && f[6].size() == kCurveKeyBytes) {
      std::array<char, 41> z85{};
      zmq_z85_encode(z85.data(), static_cast<const std::uint8_t*>(f[6].data()), kCurveKeyBytes);
      if (const auto known = authorised_.find(z85.data()); known != authorised_.end()) site = known->second;
    }
    if (site.empty()) ++refused;
    const std::string id = f.size() >= 2 ? f[1].to_string() : std::string();
    const std::array<std::string, 6> answer{"1.0", id, site.empty() ? "400" : "200", site.empty() ? "key not authorised" : "",
                                            site,  ""};
    for (std::size_t i = 0; i < answer.size(); ++i)
      reply_.send(zmq::buffer(answer[i]), i + 1 < answer.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
  return refused;
}

void expect_unknown_key_refused(zmq::context_t& context, const std::string& endpoint, const std::string& server_public_z85,
                                ZapHandler* zap, std::chrono::milliseconds patience) {
  zmq::socket_t stranger(context, zmq::socket_type::dealer);
  stranger.set(zmq::sockopt::linger, 0);
  secure_client(stranger, server_public_z85, new_key_pair().secret_z85);
  Monitor monitor(context, stranger, "self-test");
  stranger.connect(endpoint);
  const Deadline deadline = deadline_in(patience);
  while (std::chrono::steady_clock::now() < deadline) {
    std::vector<zmq::pollitem_t> items{{monitor.socket().handle(), 0, ZMQ_POLLIN, 0}};
    if (zap) items.push_back({zap->socket().handle(), 0, ZMQ_POLLIN, 0});
    zmq::poll(items, until(deadline, std::chrono::steady_clock::now()));
    if (zap) zap->serve();
    while (const auto event = monitor.next()) {
      if (event->event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) return;
      require(event->event != ZMQ_EVENT_HANDSHAKE_SUCCEEDED, Errc::kAuthentication,
              "self-test: this server would accept a client with any key; it does not start");
    }
  }
  throw Error(Errc::kAuthentication,
              "self-test: a connection with an unknown key was not refused in time; the server does not start");
}

}  // namespace sutura
