#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>

namespace sutura {

/// Numbers of a link and of the sockets below it; the defaults suit a hospital behind a WAN.
struct LinkSettings {
  /// Messages that a receiver holds for an application that has not asked for them yet; at least 4. The sender never has more
  /// under way. A program that sends more than this before its peer receives any of it stands still: take the plan's number.
  std::uint16_t window = 64;
  std::size_t max_frame_bytes = std::size_t{64} << 20;  ///< largest tensor frame of the plan, descriptor included
  std::uint32_t incarnation = 0;                        ///< server: its durable fencing counter; clients learn it

  /// The slowest link on which the largest frame must still get through. A frame counts as a sign of life only when it is
  /// complete, so every timeout allows for its time on the wire; a network that is dead is found by TCP within 5 heartbeats.
  std::size_t slowest_bytes_per_second = 128 * 1024;

  std::chrono::milliseconds ack_delay{10};       ///< time in which data may carry the acknowledgement
  std::chrono::milliseconds resend_after{1000};  ///< silence after which the sender asks what arrived; doubles to 8 times
  std::chrono::milliseconds heartbeat{2000};     ///< idle time after which the peer is asked for a sign of life
  std::chrono::milliseconds peer_timeout{
      60000};  ///< silence, beyond frame_time(), after which calls say kPeerGone (until a later sign of life)
  std::chrono::milliseconds drain{2000};  ///< longest wait of a destructor for acknowledgements

  std::chrono::milliseconds handshake_timeout{5000};
  std::chrono::milliseconds socket_heartbeat{2000};  ///< ZMTP PING; the connection is dropped after 5 times this and frame_time()
  std::chrono::milliseconds reconnect{200};
  std::chrono::milliseconds reconnect_max{30000};
  int handshake_tries = 5;  ///< failed handshakes without one success after which a client gives up
  std::chrono::milliseconds frame_time() const {
    return std::chrono::milliseconds(static_cast<std::int64_t>(max_frame_bytes * 1000 / slowest_bytes_per_second));
  }

  int io_threads = 1;  ///< of the socket library: about one per GB/s of encrypted traffic
};

/// What a link and its sockets have seen. Atomic: the I/O thread counts, any thread reads.
struct LinkCounters {
  using Count = std::atomic<std::uint64_t>;
  Count sent{0};               ///< messages handed to the network the first time
  Count received{0};           ///< messages delivered in order
  Count resent{0};             ///< messages handed to the network again
  Count duplicates{0};         ///< messages dropped because they were known
  Count fenced{0};             ///< messages dropped because of an older incarnation
  Count asks{0};               ///< questions "what arrived?" sent
  Count malformed{0};          ///< messages refused by the decoder or the link
  Count equivocations{0};      ///< of these: known message, other content
  Count contested{0};          ///< messages of a second session while the first with the same key lives
  Count strangers{0};          ///< messages without an authorised user or of an unknown session
  Count reconnects{0};         ///< a known session came back on another connection
  Count keys_refused{0};       ///< handshakes refused because of the client's key
  Count handshakes_failed{0};  ///< all other failed handshakes: wrong server key, no CURVE, not this protocol
  Count disconnects{0};        ///< connections lost
};

}  // namespace sutura
