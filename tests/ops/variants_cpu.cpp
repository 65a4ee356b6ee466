#include "operation.h"

namespace sutura::testing {

std::vector<Variant> all_variants() {
  return {{Backend::kReference, DType::kFloat32}, {Backend::kOnednn, DType::kFloat32}, {Backend::kOnednn, DType::kBfloat16}};
}
std::vector<Variant> f32_variants() { return {{Backend::kReference, DType::kFloat32}, {Backend::kOnednn, DType::kFloat32}}; }

}  // namespace sutura::testing
