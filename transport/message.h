#pragma once
#include <cstdint>
#include <vector>

#include "core/bytes.h"
#include "core/dtype.h"
#include "core/shape.h"

namespace sutura {

/// What a message is for. On the wire: never renumber.
enum class MessageType : std::uint8_t {
  kHello = 1,    ///< control: who I am, plan digest, site sizes
  kWelcome = 2,  ///< control: you are in, run id, everybody's sizes
  kReject = 3,   ///< control: code, retryable, text
  kData = 4,     ///< tensors of one edge, leg and step
  kReport = 5,   ///< control: metrics of an epoch, end of a phase
  kGoodbye = 6,  ///< control: finished, nothing more follows
  kAck = 7,      ///< link only: no payload
};

/// Direction of a route: values forward, gradients backward, parameters at round end.
enum class Leg : std::uint8_t { kForward = 0, kBackward = 1, kWeights = 2, kControl = 3 };

/// Addresses a message inside one run; receivers ask by tag, so order between tags is free.
struct Tag {
  std::uint16_t edge = 0;  ///< index in the plan's edge list; 0xffff for control
  Leg leg = Leg::kControl;
  std::uint64_t step = 0;
  std::uint16_t micro_batch = 0;
  auto operator<=>(const Tag&) const = default;
};

/// One tensor on the wire: raw little-endian values, row-major.
struct WireTensor {
  DType dtype = DType::kFloat32;
  Shape shape;
  Bytes data;
};

struct Message {
  MessageType type = MessageType::kData;
  Tag tag;
  Bytes control;                     ///< small serialised body, <= 64 KiB, may be empty
  std::vector<WireTensor> tensors;   ///< at most 14
};

}  // namespace sutura
