#pragma once
#include <memory>
#include <span>
#include <vector>

#include "core/bytes.h"
#include "transport/message.h"

namespace sutura {

// docs/wire_format.md shows the layout byte by byte.
inline constexpr std::uint32_t kWireMagic = 0x52545553;  ///< the bytes "SUTR"
inline constexpr std::uint8_t kWireMajor = 1;
inline constexpr std::uint8_t kWireMinor = 0;
inline constexpr std::size_t kHeaderBytes = 64;
inline constexpr std::size_t kDescriptorBytes = 32;
inline constexpr std::size_t kMaxFrames = 16;
inline constexpr std::size_t kMaxTensors = 14;
inline constexpr std::size_t kMaxControlBytes = 64 * 1024;

/// Header flags; any other bit is refused.
inline constexpr std::uint8_t kFlagControl = 1;  ///< the second frame is a control body
inline constexpr std::uint8_t kFlagAsk = 2;      ///< kAck only: answer at once; `step` numbers the question
inline constexpr std::uint8_t kFlagReply = 4;    ///< kAck only: the answer; `step` repeats the question's number
inline constexpr std::uint8_t kFlagOpening = 8;  ///< the sender has heard nothing in this session yet

/// The 64-byte header as values; `frames` and `bytes` are set by encoding and checked by decoding.
struct FrameHeader {
  MessageType type = MessageType::kData;
  std::uint8_t flags = 0;
  std::uint64_t run = 0;
  std::uint64_t seq = 0;
  std::uint64_t ack = 0;
  std::uint32_t incarnation = 0;
  std::uint16_t credit = 0;
  Tag tag;
  std::uint8_t frames = 1;
  std::uint64_t bytes = 0;
};

/// One frame of a message. shared_ptr: the resend buffer and a socket's send queue hold the same bytes at once, and either
/// may let go first, on its own thread.
using SharedFrame = std::shared_ptr<const Bytes>;

/// Everything of a message but its header: the part that a resend repeats to the byte.
struct EncodedPayload {
  MessageType type = MessageType::kAck;
  Tag tag;
  std::uint8_t flags = 0;           ///< kFlagControl if frames.front() is a control body
  std::uint64_t bytes = 0;          ///< of all frames
  std::vector<SharedFrame> frames;  ///< control body, then tensors
  Digest digest{};  ///< BLAKE2b of type, tag, control body and tensor descriptors (which hold the CRC of the values)
};

/// Copies each tensor once, behind its descriptor.
/// Errors: kInvalidArgument for a message that the format cannot hold: too many or inconsistent tensors, a control body above
/// 64 KiB, tensors or a tensor leg on a control message, a control leg on data.
EncodedPayload encode_payload(const Message& message);
/// The header of this transmission; run, seq, ack, incarnation, credit and flags come from `header`, the rest from the payload.
Bytes encode_header(const FrameHeader& header, const EncodedPayload& payload);
/// Header and payload: all frames of one message in order.
std::vector<SharedFrame> encode(const FrameHeader& header, const Message& message);

struct Decoded {
  FrameHeader header;
  Message message;
  Digest digest{};  ///< equals EncodedPayload::digest at the sender
};

/// Parses the frames of one message by hand; allocates no more than the frames hold.
/// Errors: kProtocol for anything that encode() would not have produced, whatever the bytes are.
Decoded decode(std::span<const ByteSpan> frames);

/// Checks a received tensor against what the plan says must arrive here.
/// Errors: kProtocol, naming both shapes, never values.
void expect(const WireTensor& tensor, DType dtype, const Shape& shape);

/// True if no element of a floating-point tensor is NaN or infinite; integer tensors are always finite.
bool all_finite(const WireTensor& tensor);
/// Errors: kProtocol if a tensor of the message holds NaN or infinity.
void require_finite(const Message& message);

/// Bytes that the message takes on the wire, header and descriptors included.
std::uint64_t frame_bytes(const Message& message);
/// Bytes of tensor values and control body alone.
std::uint64_t payload_bytes(const Message& message);

}  // namespace sutura
