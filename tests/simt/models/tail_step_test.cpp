// The step that scripts/gpu_check measures, with our fused kernels and without them: its layers one by one are what it measures on
// the cudnn backend, which runs nowhere else.
#include "bench/gpu/tail_step.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/simt/counted_heads.h"
#include "tests/simt/executor.h"

namespace sutura::bench {
namespace {

TEST(TailStep, WithoutFusedKernelsIsTheSameStep) {
  const Tail tail{"small", 16, "cifar", 4, 4};
  std::map<Fusion, std::vector<double>> losses;
  std::map<Fusion, std::int64_t> launches;
  for (const Fusion fusion : {Fusion::kOn, Fusion::kOff}) {
    simt::heads = 0;
    Context ctx(Backend::kNative, simt::counted_heads(), DType::kFloat32);
    TailStep step(ctx, tail, fusion);
    const std::int64_t before = simt::launches();
    for (int set = 0; set < kSets; ++set) {
      step.prepare();
      step.run(set);
      losses[fusion].push_back(step.loss());
    }
    launches[fusion] = simt::launches() - before;
    EXPECT_EQ(simt::heads, fusion == Fusion::kOn ? kSets : 0);
  }
  EXPECT_LT(launches[Fusion::kOn], launches[Fusion::kOff]);
  // Outputs are off by 5.4e-6 from batch norms' statistics (fusion_test.cpp) and by 6e-7 from the head (head_test.cpp); the loss's slope
  // is below 1, and an update of 1e-3 carries no more than that on.
  for (std::size_t i = 0; i < losses[Fusion::kOn].size(); ++i)
    EXPECT_NEAR(losses[Fusion::kOn][i], losses[Fusion::kOff][i], 1e-5) << i;
  EXPECT_NE(losses[Fusion::kOn][0], losses[Fusion::kOn][1]);
}

}  // namespace
}  // namespace sutura::bench
