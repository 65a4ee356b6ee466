#pragma once
#include <array>
#include <string>
#include <vector>

#include "core/error.h"
#include "transport/message.h"

namespace sutura {

// Bodies of control messages. Every field is bounded; what is longer is refused by the reader and by the writer.
inline constexpr std::size_t kMaxName = 128;  ///< characters of a site, software or backend name
inline constexpr std::size_t kMaxSites = 1024;
inline constexpr std::size_t kMaxText = 4096;  ///< characters of a refusal's text
inline constexpr std::size_t kMaxPlanText = 56 * 1024;
inline constexpr std::size_t kMaxReport = 60 * 1024;

/// What a site says first.
struct Hello {
  std::uint32_t protocol = 1;
  std::string software;
  std::string backend;  ///< numeric backend: "reference", "onednn", ...
  std::string site;
  Digest plan_digest{};
  std::vector<std::uint64_t> sizes;  ///< records: train, validation, test
  std::uint64_t nonce = 0;
};

/// The server's answer once everybody is there.
struct Welcome {
  std::uint64_t run = 0;
  std::uint64_t nonce = 0;  ///< repeats the hello's
  std::vector<std::string> sites;
  std::vector<std::vector<std::uint64_t>> sizes;  ///< one row per site
};

/// Why a peer is turned away. Text carries no data and no keys.
struct Reject {
  Errc code = Errc::kProtocol;
  bool retryable = false;
  std::string text;
  std::string canonical_plan;  ///< the server's plan after a digest mismatch, cut to 56 KiB
};

/// Metrics of an epoch as JSON; the transport does not look inside.
struct Report {
  std::string json;
};

/// Control messages ready to send. Errors: kInvalidArgument for a field above its bound (a plan text is cut instead).
Message to_message(const Hello& body);
Message to_message(const Welcome& body);
Message to_message(const Reject& body);
Message to_message(const Report& body);

/// The body of a received control message; T is Hello, Welcome, Reject or Report.
/// Errors: kProtocol for another type, a field above its bound, missing or trailing bytes. Allocates less than 1 MiB.
template <class T>
T from_message(const Message& message);
template <>
Hello from_message<Hello>(const Message& message);
template <>
Welcome from_message<Welcome>(const Message& message);
template <>
Reject from_message<Reject>(const Message& message);
template <>
Report from_message<Report>(const Message& message);

/// The refusal as the error that the refused side throws: its code, its text escaped.
Error refusal(const Reject& reject);

/// Text from a peer made safe for a log line: control characters, backslashes and bytes outside ASCII as \xNN.
std::string escaped(std::string_view text);

}  // namespace sutura
