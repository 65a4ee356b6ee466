#pragma once
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>

#include "transport/channel.h"

namespace sutura {

/// Held by the one party that computes, when all parties are threads of one process. First come, first served.
/// Threads: any; release() by the thread that acquired.
class Baton {
 public:
  void acquire();
  void release();

 private:
  std::mutex mutex_;
  std::condition_variable turn_;
  std::uint64_t next_ticket_ = 0;
  std::uint64_t serving_ = 0;
};

struct InprocSettings {
  std::uint16_t window = 64;  ///< messages that a receiver holds; send() blocks beyond
  Baton* baton = nullptr;     ///< given back while a call blocks, taken again before it returns
  std::stop_token stop{};     ///< makes calls return kStopped
};

struct ChannelPair {
  std::unique_ptr<Channel> first;
  std::unique_ptr<Channel> second;
};

/// Two ends of a stream inside one process, with the rules of a network channel: a window, delivery by tag, kPeerGone once the
/// other end is destroyed or said goodbye and everything that arrived is taken, a refusal (kReject) is thrown by the
/// refused side's later calls. A second message under a tag that waits to be received is dropped if it is the same, and
/// Errc::kProtocol (equivocation) at the sender if not.
ChannelPair make_channel_pair(const InprocSettings& settings = {});

}  // namespace sutura
