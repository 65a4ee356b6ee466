#include "transport/io_thread.h"

#include <sodium.h>

#include <future>
#include <thread>

#include "transport/client_loop.h"
#include "transport/server_loop.h"

namespace sutura {
namespace {

/// Starts an I/O thread as an actor: returns when it is ready, or throws what kept it from getting ready. `body(stop, ready)`
/// calls ready() once. What it throws later ends all sessions.
template <class Body>
std::jthread start_actor(Exchange& exchange, Body body) {
  std::promise<void> promise;
  std::future<void> ready = promise.get_future();
  std::jthread thread([&exchange, body = std::move(body), promise = std::move(promise)](std::stop_token stop) mutable {
    bool is_ready = false;
    const auto end_all = [&](const Error& error) {
      const std::lock_guard lock(exchange.mutex);
      for (const auto& [site, session] : exchange.sessions) fail(*session, error);
      exchange.drained.notify_all();
    };
    try {
      body(stop, [&] {
        is_ready = true;
        promise.set_value();
      });
    } catch (const Error& e) {
      is_ready ? end_all(e) : promise.set_exception(std::current_exception());
    } catch (const std::exception& e) {
      const Error error(Errc::kNetwork, std::string("the I/O thread ended: ") + e.what());
      is_ready ? end_all(error) : promise.set_exception(std::make_exception_ptr(error));
    }
  });
  ready.get();
  return thread;
}

std::uint64_t random_session() {
  require(sodium_init() >= 0, Errc::kInternal, "libsodium did not start");
  std::uint64_t run = 0;
  while (run == 0) randombytes_buf(&run, sizeof run);
  return run;
}

void end_actor(Exchange& exchange, std::jthread& thread) {
  drain(exchange);
  thread.request_stop();
  exchange.waker.wake();
  thread.join();
}

}  // namespace

struct ServerEndpoint::Impl {
  explicit Impl(const LinkSettings& settings) : exchange(settings) {}
  Exchange exchange;
  std::string bound;
  std::jthread thread;
};

ServerEndpoint::ServerEndpoint(const std::string& endpoint, ServerSecurity security, const LinkSettings& settings)
    : impl_(std::make_unique<Impl>(settings)) {
  impl_->thread = start_actor(impl_->exchange, [impl = impl_.get(), endpoint, security = std::move(security)](
                                                   std::stop_token stop, const auto& ready) mutable {
    ServerLoop loop(impl->exchange, endpoint, std::move(security));
    impl->bound = loop.bound_endpoint();
    ready();
    loop.run(stop);
  });
}

ServerEndpoint::~ServerEndpoint() { end_actor(impl_->exchange, impl_->thread); }

std::string ServerEndpoint::bound_endpoint() const { return impl_->bound; }

std::unique_ptr<Channel> ServerEndpoint::accept(std::string& site, Deadline deadline) {
  Exchange& exchange = impl_->exchange;
  std::unique_lock lock(exchange.mutex);
  while (true) {
    if (!exchange.arrived.wait_until(lock, deadline, [&] { return exchange.stopped || !exchange.newcomers.empty(); }))
      return nullptr;
    if (exchange.stopped) return nullptr;
    std::shared_ptr<Session> session = std::move(exchange.newcomers.front());
    exchange.newcomers.pop_front();
    if (session->replaced) continue;
    site = session->site;
    return std::make_unique<SessionChannel>(exchange, std::move(session));
  }
}

void ServerEndpoint::stop() { sutura::stop(impl_->exchange); }
const LinkCounters& ServerEndpoint::counters() const { return impl_->exchange.counters; }

struct ClientEndpoint::Impl {
  explicit Impl(const LinkSettings& settings)
      : exchange(settings),
        session(std::make_shared<Session>("server", settings, LinkRole::kFollows, random_session(), exchange.counters,
                                          std::chrono::steady_clock::now())) {
    exchange.sessions.emplace("server", session);
    channel.emplace(exchange, session);
  }
  Exchange exchange;
  std::shared_ptr<Session> session;
  std::optional<SessionChannel> channel;
  std::jthread thread;
};

ClientEndpoint::ClientEndpoint(const std::string& endpoint, const std::string& server_public_z85,
                               const std::string& own_secret_z85, const LinkSettings& settings)
    : impl_(std::make_unique<Impl>(settings)) {
  ClientAddress address{endpoint, server_public_z85, own_secret_z85};
  impl_->thread = start_actor(
      impl_->exchange, [impl = impl_.get(), address = std::move(address)](std::stop_token stop, const auto& ready) mutable {
        ClientLoop loop(impl->exchange, *impl->session, std::move(address));
        ready();
        loop.run(stop);
      });
}

ClientEndpoint::~ClientEndpoint() { end_actor(impl_->exchange, impl_->thread); }

Channel& ClientEndpoint::channel() { return *impl_->channel; }
void ClientEndpoint::stop() { sutura::stop(impl_->exchange); }
const LinkCounters& ClientEndpoint::counters() const { return impl_->exchange.counters; }

}  // namespace sutura
