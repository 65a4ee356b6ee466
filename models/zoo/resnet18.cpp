#include "models/layers/conv.h"
#include "models/layers/pool.h"
#include "models/layers/residual.h"
#include "models/zoo/zoo.h"

namespace sutura {

Network make_resnet18(OptionReader& options, const Shape& x, std::int64_t outputs) {
  const std::int64_t width = options.integer("width", 64, 1, 4096);
  const std::string stem = options.choice("stem", "cifar", {"cifar", "imagenet"});
  const NormKind norm = options.choice("norm", "group", {"group", "batch"}) == "batch" ? NormKind::kBatch : NormKind::kGroup;
  const std::int64_t least = stem == "imagenet" ? 32 : 8;
  if (x.rank() != 4 || x[1] < least || x[2] < least)
    options.fail("takes images [N, H, W, C] of at least " + std::to_string(least) + " x " + std::to_string(least) +
                 " with the stem " + stem + ", got " + x.text());
  Network network;
  const Conv2dSpec spec = stem == "imagenet" ? Conv2dSpec{7, 7, 2, 2, 3, 3} : Conv2dSpec{3, 3, 1, 1, 1, 1};
  network.add("stem.conv", std::make_unique<Conv2d>(x[3], width, spec, Bias::kNone));
  network.add("stem.norm", make_norm(norm, width));
  network.add("stem.act", std::make_unique<Relu>());
  if (stem == "imagenet") network.add("stem.pool", std::make_unique<MaxPool>(Pool2dSpec{3, 3, 2, 2, 1, 1}));
  std::int64_t channels = width;
  for (int stage = 1; stage <= 4; ++stage) {
    const std::int64_t filters = width << (stage - 1);
    for (int block = 0; block < 2; ++block) {
      const std::int64_t stride = stage > 1 && block == 0 ? 2 : 1;
      network.add("stage" + std::to_string(stage) + "." + std::to_string(block), basic_block(channels, filters, stride, norm));
      channels = filters;
    }
  }
  network.add("pool", std::make_unique<GlobalAvgPool>());
  network.add("out", std::make_unique<Linear>(channels, outputs));
  return network;
}

}  // namespace sutura
