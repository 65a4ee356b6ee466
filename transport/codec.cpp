#include "transport/codec.h"

#include "core/error.h"

namespace sutura {
namespace {

constexpr std::uint8_t kKnownFlags = kFlagControl | kFlagAsk | kFlagReply | kFlagOpening;

// Offsets of the header fields.
enum : std::size_t {
  kAtMagic = 0,
  kAtMajor = 4,
  kAtMinor = 5,
  kAtType = 6,
  kAtFlags = 7,
  kAtRun = 8,
  kAtSeq = 16,
  kAtAck = 24,
  kAtStep = 32,
  kAtIncarnation = 40,
  kAtEdge = 44,
  kAtLeg = 46,
  kAtFrames = 47,
  kAtBytes = 48,
  kAtMicroBatch = 56,
  kAtCredit = 58,
  kAtCrc = 60,
};
static_assert(kAtCrc + 4 == kHeaderBytes);

// Offsets of the tensor descriptor.
enum : std::size_t { kAtDtype = 0, kAtRank = 1, kAtReserved = 2, kAtTensorCrc = 4, kAtDims = 8 };
static_assert(kAtDims + 4 * Shape::kMaxRank == kDescriptorBytes);

[[noreturn]] void refuse(const char* why) { throw Error(Errc::kProtocol, std::string("malformed message: ") + why); }
void check(bool ok, const char* why) {
  if (!ok) refuse(why);
}

std::uint32_t descriptor_crc(ByteSpan frame) {
  const std::uint32_t before = crc32(frame.subspan(0, kAtTensorCrc));
  return crc32(frame.subspan(kAtDims), before);  // dims and values lie one after the other
}

/// The only combinations of type, leg and content that have a meaning.
const char* inconsistent(MessageType type, Leg leg, std::size_t control, std::size_t tensors) {
  if (type == MessageType::kData) return leg == Leg::kControl ? "data on the control leg" : nullptr;
  if (leg != Leg::kControl) return "a control message on a tensor leg";
  if (tensors > 0) return "tensors in a control message";
  if (type == MessageType::kAck && control > 0) return "an acknowledgement with a body";
  return nullptr;
}

class DigestInput {
 public:
  DigestInput(MessageType type, const Tag& tag) {
    input_.reserve(256);
    put(static_cast<std::uint8_t>(type));
    put(static_cast<std::uint8_t>(tag.leg));
    put(tag.edge);
    put(tag.step);
    put(tag.micro_batch);
  }
  void add(ByteSpan bytes) {
    put(static_cast<std::uint64_t>(bytes.size()));
    input_.insert(input_.end(), bytes.begin(), bytes.end());
  }
  Digest digest() const { return blake2b(input_); }

 private:
  template <class T>
  void put(T value) {
    const auto raw = std::as_bytes(std::span(&value, 1));
    input_.insert(input_.end(), raw.begin(), raw.end());
  }
  Bytes input_;
};

SharedFrame encode_tensor(const WireTensor& tensor) {
  require(size_bytes(tensor.dtype) > 0, Errc::kInvalidArgument, "a tensor to send has an unknown element type");
  require(tensor.data.size() == static_cast<std::size_t>(tensor.shape.elements()) * size_bytes(tensor.dtype),
          Errc::kInvalidArgument, "a tensor to send does not hold as many bytes as its shape says");
  auto frame = std::make_shared<Bytes>();
  // reserve and append: growing with resize would write every byte twice.
  std::array<std::byte, kDescriptorBytes> descriptor{};
  const std::span<std::byte> out(descriptor);
  store_le(out, kAtDtype, static_cast<std::uint8_t>(tensor.dtype));
  store_le(out, kAtRank, static_cast<std::uint8_t>(tensor.shape.rank()));
  for (int i = 0; i < tensor.shape.rank(); ++i) {
    require(tensor.shape[i] <= 0xffffffff, Errc::kInvalidArgument, "a dimension does not fit the wire format");
    store_le(out, kAtDims + 4 * static_cast<std::size_t>(i), static_cast<std::uint32_t>(tensor.shape[i]));
  }
  frame->reserve(kDescriptorBytes + tensor.data.size());
  frame->insert(frame->end(), descriptor.begin(), descriptor.end());
  frame->insert(frame->end(), tensor.data.begin(), tensor.data.end());
  store_le(std::span(*frame), kAtTensorCrc, descriptor_crc(*frame));
  return frame;
}

WireTensor decode_tensor(ByteSpan frame) {
  check(frame.size() >= kDescriptorBytes, "a tensor frame is shorter than its descriptor");
  WireTensor tensor;
  tensor.dtype = static_cast<DType>(load_le<std::uint8_t>(frame, kAtDtype));
  const std::size_t element = size_bytes(tensor.dtype);
  check(element > 0, "unknown element type");
  const auto rank = load_le<std::uint8_t>(frame, kAtRank);
  check(rank <= Shape::kMaxRank, "more than six dimensions");
  check(load_le<std::uint16_t>(frame, kAtReserved) == 0, "reserved bytes are set");
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  std::uint64_t expected = element;
  for (std::size_t i = 0; i < Shape::kMaxRank; ++i) {
    const auto d = load_le<std::uint32_t>(frame, kAtDims + 4 * i);
    check(i < rank || d == 0, "a dimension beyond the rank");
    if (i >= rank) continue;
    dims[i] = d;
    check(!__builtin_mul_overflow(expected, std::uint64_t{d}, &expected) && expected <= (std::uint64_t{1} << 40),
          "the dimensions overflow");
  }
  check(frame.size() - kDescriptorBytes == expected, "a tensor frame has another length than its shape");
  check(load_le<std::uint32_t>(frame, kAtTensorCrc) == descriptor_crc(frame), "checksum of a tensor");
  tensor.shape = Shape(std::span<const std::int64_t>(dims.data(), rank));
  const ByteSpan values = frame.subspan(kDescriptorBytes);
  tensor.data.assign(values.begin(), values.end());
  return tensor;
}

MessageType checked_type(std::uint8_t value) {
  check(value >= static_cast<std::uint8_t>(MessageType::kHello) && value <= static_cast<std::uint8_t>(MessageType::kAck),
        "unknown message type");
  return static_cast<MessageType>(value);
}

FrameHeader decode_header(std::span<const ByteSpan> frames) {
  const ByteSpan h = frames[0];
  check(h.size() == kHeaderBytes, "the header is not 64 bytes");
  check(load_le<std::uint32_t>(h, kAtMagic) == kWireMagic, "not a Sutura message");
  check(load_le<std::uint8_t>(h, kAtMajor) == kWireMajor, "another major version of the wire format");
  FrameHeader out;
  out.type = checked_type(load_le<std::uint8_t>(h, kAtType));
  out.flags = load_le<std::uint8_t>(h, kAtFlags);
  check((out.flags & ~kKnownFlags) == 0, "unknown flag");
  check((out.flags & (kFlagAsk | kFlagReply)) == 0 || out.type == MessageType::kAck, "a flag that this type does not have");
  out.run = load_le<std::uint64_t>(h, kAtRun);
  out.seq = load_le<std::uint64_t>(h, kAtSeq);
  out.ack = load_le<std::uint64_t>(h, kAtAck);
  out.incarnation = load_le<std::uint32_t>(h, kAtIncarnation);
  out.credit = load_le<std::uint16_t>(h, kAtCredit);
  const auto leg = load_le<std::uint8_t>(h, kAtLeg);
  check(leg <= static_cast<std::uint8_t>(Leg::kControl), "unknown leg");
  out.tag = {load_le<std::uint16_t>(h, kAtEdge), static_cast<Leg>(leg), load_le<std::uint64_t>(h, kAtStep),
             load_le<std::uint16_t>(h, kAtMicroBatch)};
  out.frames = load_le<std::uint8_t>(h, kAtFrames);
  out.bytes = load_le<std::uint64_t>(h, kAtBytes);
  check(out.frames == frames.size(), "wrong number of frames");
  std::uint64_t bytes = 0;
  for (const ByteSpan& frame : frames.subspan(1)) bytes += frame.size();
  check(out.bytes == bytes, "wrong number of bytes");
  check((out.flags & kFlagControl) == 0 || frames.size() >= 2, "the control frame is missing");
  const ByteSpan control = out.flags & kFlagControl ? frames[1] : ByteSpan{};
  check(control.size() <= kMaxControlBytes, "the control frame is too long");
  check(load_le<std::uint32_t>(h, kAtCrc) == crc32(control, crc32(h.first(kAtCrc))), "checksum of the header");
  return out;
}

/// True if an exponent field is all ones. No branch in the loop, so that it runs at memory speed.
template <class Bits>
bool any_special(ByteSpan data, Bits exponent) {
  Bits found = 0;
  for (std::size_t i = 0; i + sizeof(Bits) <= data.size(); i += sizeof(Bits))
    found |= static_cast<Bits>((load_le<Bits>(data, i) & exponent) == exponent);
  return found != 0;
}

}  // namespace

EncodedPayload encode_payload(const Message& message) {
  require(message.control.size() <= kMaxControlBytes, Errc::kInvalidArgument, "a control body is larger than 64 KiB");
  require(message.tensors.size() <= kMaxTensors, Errc::kInvalidArgument, "a message holds more than 14 tensors");
  if (const char* why = inconsistent(message.type, message.tag.leg, message.control.size(), message.tensors.size()))
    throw Error(Errc::kInvalidArgument, std::string("cannot send ") + why);
  EncodedPayload out;
  out.type = message.type;
  out.tag = message.tag;
  DigestInput digest(message.type, message.tag);
  if (!message.control.empty()) {
    out.flags = kFlagControl;
    out.frames.push_back(std::make_shared<const Bytes>(message.control));
    digest.add(message.control);
  }
  for (const WireTensor& tensor : message.tensors) {
    out.frames.push_back(encode_tensor(tensor));
    digest.add(ByteSpan(*out.frames.back()).first(kDescriptorBytes));
  }
  for (const SharedFrame& frame : out.frames) out.bytes += frame->size();
  out.digest = digest.digest();
  return out;
}

Bytes encode_header(const FrameHeader& header, const EncodedPayload& payload) {
  Bytes frame(kHeaderBytes);
  const std::span out(frame);
  store_le(out, kAtMagic, kWireMagic);
  store_le(out, kAtMajor, kWireMajor);
  store_le(out, kAtMinor, kWireMinor);
  store_le(out, kAtType, static_cast<std::uint8_t>(payload.type));
  store_le(out, kAtFlags, static_cast<std::uint8_t>(header.flags | payload.flags));
  store_le(out, kAtRun, header.run);
  store_le(out, kAtSeq, header.seq);
  store_le(out, kAtAck, header.ack);
  store_le(out, kAtStep, payload.tag.step);
  store_le(out, kAtIncarnation, header.incarnation);
  store_le(out, kAtEdge, payload.tag.edge);
  store_le(out, kAtLeg, static_cast<std::uint8_t>(payload.tag.leg));
  store_le(out, kAtFrames, static_cast<std::uint8_t>(1 + payload.frames.size()));
  store_le(out, kAtBytes, payload.bytes);
  store_le(out, kAtMicroBatch, payload.tag.micro_batch);
  store_le(out, kAtCredit, header.credit);
  const ByteSpan control = payload.flags & kFlagControl ? ByteSpan(*payload.frames.front()) : ByteSpan{};
  store_le(out, kAtCrc, crc32(control, crc32(ByteSpan(frame).first(kAtCrc))));
  return frame;
}

std::vector<SharedFrame> encode(const FrameHeader& header, const Message& message) {
  EncodedPayload payload = encode_payload(message);
  std::vector<SharedFrame> frames{std::make_shared<const Bytes>(encode_header(header, payload))};
  for (SharedFrame& frame : payload.frames) frames.push_back(std::move(frame));
  return frames;
}

Decoded decode(std::span<const ByteSpan> frames) {
  check(!frames.empty() && frames.size() <= kMaxFrames, "not 1 to 16 frames");
  Decoded out;
  out.header = decode_header(frames);
  out.message.type = out.header.type;
  out.message.tag = out.header.tag;
  std::span<const ByteSpan> rest = frames.subspan(1);
  DigestInput digest(out.header.type, out.header.tag);
  if (out.header.flags & kFlagControl) {
    check(!rest[0].empty(), "an empty control frame");
    out.message.control.assign(rest[0].begin(), rest[0].end());
    digest.add(rest[0]);
    rest = rest.subspan(1);
  }
  check(rest.size() <= kMaxTensors, "more than 14 tensors");
  if (const char* why = inconsistent(out.header.type, out.header.tag.leg, out.message.control.size(), rest.size())) refuse(why);
  out.message.tensors.reserve(rest.size());
  for (const ByteSpan& frame : rest) {
    out.message.tensors.push_back(decode_tensor(frame));
    digest.add(frame.first(kDescriptorBytes));
  }
  out.digest = digest.digest();
  return out;
}

void expect(const WireTensor& tensor, DType dtype, const Shape& shape) {
  if (tensor.dtype != dtype)
    throw Error(Errc::kProtocol,
                "the plan expects " + std::string(name(dtype)) + ", the peer sent " + std::string(name(tensor.dtype)));
  if (tensor.shape != shape)
    throw Error(Errc::kProtocol, "the plan expects " + shape.text() + ", the peer sent " + tensor.shape.text());
  if (tensor.data.size() != static_cast<std::size_t>(shape.elements()) * size_bytes(dtype))
    throw Error(Errc::kProtocol, "a tensor does not hold as many bytes as its shape says");
}

bool all_finite(const WireTensor& tensor) {
  switch (tensor.dtype) {
    case DType::kFloat32: return !any_special<std::uint32_t>(tensor.data, 0x7f800000u);
    case DType::kBfloat16: return !any_special<std::uint16_t>(tensor.data, 0x7f80u);
    case DType::kFloat64: return !any_special<std::uint64_t>(tensor.data, 0x7ff0000000000000ull);
    case DType::kInt8:
    case DType::kInt16:
    case DType::kInt32:
    case DType::kUint8: return true;
  }
  return false;
}

void require_finite(const Message& message) {
  for (const WireTensor& tensor : message.tensors)
    require(all_finite(tensor), Errc::kProtocol, "a received tensor holds NaN or infinity");
}

std::uint64_t payload_bytes(const Message& message) {
  std::uint64_t bytes = message.control.size();
  for (const WireTensor& tensor : message.tensors) bytes += tensor.data.size();
  return bytes;
}

std::uint64_t frame_bytes(const Message& message) {
  return kHeaderBytes + kDescriptorBytes * message.tensors.size() + payload_bytes(message);
}

}  // namespace sutura
