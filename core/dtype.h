#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sutura {

/// Element types of tensors, in memory and on the wire. The values are part of the wire format: never renumber.
enum class DType : std::uint8_t { kFloat32 = 1, kBfloat16 = 2, kInt8 = 3, kInt16 = 4, kInt32 = 5, kUint8 = 6, kFloat64 = 7 };

/// Bytes of one element; 0 for a value outside the list.
constexpr std::size_t size_bytes(DType t) {
  switch (t) {
    case DType::kFloat32:
    case DType::kInt32: return 4;
    case DType::kBfloat16:
    case DType::kInt16: return 2;
    case DType::kInt8:
    case DType::kUint8: return 1;
    case DType::kFloat64: return 8;
  }
  return 0;
}
std::string_view name(DType t);

/// bfloat16 storage: the upper half of a float32.
struct bf16 {
  std::uint16_t bits;
};

constexpr float to_float(bf16 v) { return std::bit_cast<float>(std::uint32_t{v.bits} << 16); }
/// Round to nearest even; NaN stays NaN.
constexpr bf16 to_bf16(float v) {
  const auto u = std::bit_cast<std::uint32_t>(v);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((u >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

}  // namespace sutura
