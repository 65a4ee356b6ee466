#include "core/dtype.h"

namespace sutura {

std::string_view name(DType t) {
  switch (t) {
    case DType::kFloat32: return "f32";
    case DType::kBfloat16: return "bf16";
    case DType::kInt8: return "int8";
    case DType::kInt16: return "int16";
    case DType::kInt32: return "int32";
    case DType::kUint8: return "uint8";
    case DType::kFloat64: return "f64";
  }
  return "unknown";
}

}  // namespace sutura
