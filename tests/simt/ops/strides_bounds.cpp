// With smaller numbers than the kernels' own, strides_test.cpp would test one stride and pass.
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/set_norm.h"
#include "tests/ops/strides.h"

namespace sutura::SUTURA_DEVICE {

static_assert(testing::kStrideBlocks == kMostBlocks && testing::kStrideThreads == kMapThreads);
static_assert(testing::kStrideThreads == kSetThreads && testing::kStrideWarpValues == kMostWarpUnits);

}  // namespace sutura::SUTURA_DEVICE
