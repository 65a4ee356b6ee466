#include "transport/control.h"

#include <cereal/cereal.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/vector.hpp>

#include "transport/codec.h"

namespace sutura {
namespace {

/// Writes little-endian values one after the other; counts are u32.
class ControlWriter : public cereal::OutputArchive<ControlWriter> {
 public:
  explicit ControlWriter(Bytes& to) : OutputArchive(this), to_(to) {}
  // noinline: g++ 12 warns about an overflow that cannot be when it sees the empty vector grow.
  [[gnu::noinline]] void write(const void* from, std::size_t size) {
    const auto* p = static_cast<const std::byte*>(from);
    to_.insert(to_.end(), p, p + size);
  }
  void count(std::uint64_t n) {
    require(n <= limit_, Errc::kInvalidArgument, "a field of a control message is too long");
    const auto small = static_cast<std::uint32_t>(n);
    write(&small, sizeof small);
  }
  void limit(std::size_t n) { limit_ = n; }

 private:
  Bytes& to_;
  std::size_t limit_ = 0;
};

/// Reads from a span. cereal resizes containers to the count on the wire, so count() is where a size bomb must stop.
class ControlReader : public cereal::InputArchive<ControlReader> {
 public:
  explicit ControlReader(ByteSpan from) : InputArchive(this), from_(from) {}
  void read(void* to, std::size_t size) {
    require(size <= from_.size(), Errc::kProtocol, "a control message ends too early");
    if (size > 0) std::memcpy(to, from_.data(), size);
    from_ = from_.subspan(size);
  }
  std::uint64_t count() {
    std::uint32_t n = 0;
    read(&n, sizeof n);
    require(n <= limit_, Errc::kProtocol, "a field of a control message is too long");
    require(n <= from_.size(), Errc::kProtocol, "a field of a control message says it is longer than the message");
    return n;
  }
  void limit(std::size_t n) { limit_ = n; }
  void finish() const { require(from_.empty(), Errc::kProtocol, "bytes after the end of a control message"); }

 private:
  ByteSpan from_;
  std::size_t limit_ = 0;
};

// The hooks by which cereal writes numbers, counts and arrays of numbers; the names are cereal's.
template <class T>
requires std::is_arithmetic_v<T>
void save(ControlWriter& ar, const T& value) { ar.write(&value, sizeof value); }
template <class T>
requires std::is_arithmetic_v<T>
void load(ControlReader& ar, T& value) {
  static_assert(!std::is_same_v<T, bool>, "a byte other than 0 and 1 is no bool");
  ar.read(&value, sizeof value);
}
template <class T>
void save(ControlWriter& ar, const cereal::SizeTag<T>& tag) {
  ar.count(tag.size);
}
template <class T>
void load(ControlReader& ar, cereal::SizeTag<T>& tag) {
  tag.size = ar.count();
}
template <class T>
void save(ControlWriter& ar, const cereal::BinaryData<T>& data) {
  ar.write(data.data, static_cast<std::size_t>(data.size));
}
template <class T>
void load(ControlReader& ar, cereal::BinaryData<T>& data) {
  ar.read(data.data, static_cast<std::size_t>(data.size));
}

template <class Archive, class T>
void field(Archive& ar, T& value, std::size_t limit) {
  ar.limit(limit);
  ar(value);
}

template <class Archive>
void fields(Archive& ar, Hello& b) {
  ar(b.protocol);
  field(ar, b.software, kMaxName);
  field(ar, b.backend, kMaxName);
  field(ar, b.site, kMaxName);
  ar(cereal::binary_data(b.plan_digest.data(), b.plan_digest.size()));
  field(ar, b.sizes, kMaxSites);
  ar(b.nonce);
}

template <class Archive>
void fields(Archive& ar, Welcome& b) {
  ar(b.run, b.nonce);
  field(ar, b.sites, kMaxSites);
  field(ar, b.sizes, kMaxSites);
}

template <class Archive>
void fields(Archive& ar, Reject& b) {
  auto code = static_cast<std::uint8_t>(b.code);
  auto retryable = static_cast<std::uint8_t>(b.retryable);
  ar(code, retryable);
  require(code <= static_cast<std::uint8_t>(Errc::kProtocol), Errc::kProtocol, "unknown code in a refusal");
  require(retryable <= 1, Errc::kProtocol, "a flag is neither 0 nor 1");
  b.code = static_cast<Errc>(code);
  b.retryable = retryable == 1;
  field(ar, b.text, kMaxText);
  field(ar, b.canonical_plan, kMaxPlanText);
}

template <class Archive>
void fields(Archive& ar, Report& b) {
  field(ar, b.json, kMaxReport);
}

template <class T>
Message write(MessageType type, T body) {
  Message message;
  message.type = type;
  message.tag.edge = 0xffff;
  ControlWriter writer(message.control);
  fields(writer, body);
  require(message.control.size() <= kMaxControlBytes, Errc::kInvalidArgument, "a control message is larger than 64 KiB");
  return message;
}

template <class T>
T read(MessageType type, const Message& message) {
  require(message.type == type, Errc::kProtocol, "another control message was expected");
  require(message.control.size() <= kMaxControlBytes, Errc::kProtocol, "a control message is larger than 64 KiB");
  T body;
  try {
    ControlReader reader(message.control);
    fields(reader, body);
    reader.finish();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Error(Errc::kProtocol, std::string("malformed control message: ") + e.what());
  }
  return body;
}

}  // namespace

Message to_message(const Hello& body) { return write(MessageType::kHello, body); }
Message to_message(const Welcome& body) {
  for (const std::string& site : body.sites) require(site.size() <= kMaxName, Errc::kInvalidArgument, "a site name is too long");
  return write(MessageType::kWelcome, body);
}
Message to_message(const Reject& body) {
  Reject cut = body;
  // A refusal must reach the peer whatever it is about.
  if (cut.text.size() > kMaxText) cut.text.resize(kMaxText);
  if (cut.canonical_plan.size() > kMaxPlanText) cut.canonical_plan.resize(kMaxPlanText);
  return write(MessageType::kReject, std::move(cut));
}
Message to_message(const Report& body) { return write(MessageType::kReport, body); }

template <>
Hello from_message<Hello>(const Message& message) {
  return read<Hello>(MessageType::kHello, message);
}
template <>
Welcome from_message<Welcome>(const Message& message) {
  Welcome body = read<Welcome>(MessageType::kWelcome, message);
  for (const std::string& site : body.sites) require(site.size() <= kMaxName, Errc::kProtocol, "a site name is too long");
  require(body.sites.size() == body.sizes.size(), Errc::kProtocol, "a welcome names sites without their sizes");
  return body;
}
template <>
Reject from_message<Reject>(const Message& message) {
  return read<Reject>(MessageType::kReject, message);
}
template <>
Report from_message<Report>(const Message& message) {
  return read<Report>(MessageType::kReport, message);
}

Error refusal(const Reject& reject) { return Error(reject.code, "the peer refused: " + escaped(reject.text)); }

std::string escaped(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u < 0x7f && c != '\\') {
      out += c;
    } else {
      out += {'\\', 'x', kDigits[u >> 4], kDigits[u & 15]};
    }
  }
  return out;
}

}  // namespace sutura
