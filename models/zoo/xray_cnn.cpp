#include "models/layers/activation.h"
#include "models/layers/conv.h"
#include "models/layers/dropout.h"
#include "models/layers/norm.h"
#include "models/layers/pool.h"
#include "models/zoo/zoo.h"

namespace sutura {

Network make_xray_cnn(OptionReader& options, const Shape& x, std::int64_t outputs) {
  const std::int64_t width = options.integer("width", 24, 1, 4096);
  const auto dropout = static_cast<float>(options.number("dropout", 0.3, 0.0, 1.0));
  if (x.rank() != 4 || x[1] < 8 || x[2] < 8) options.fail("takes images [N, H, W, C] of at least 8 x 8, got " + x.text());
  constexpr std::int64_t kTimesWidth[] = {1, 2, 2, 4, 4};
  Network network;
  std::int64_t channels = x[3];
  for (int i = 1; i <= 5; ++i) {
    const std::string number = std::to_string(i);
    const std::int64_t filters = width * kTimesWidth[i - 1];
    network.add("conv" + number, std::make_unique<Conv2d>(channels, filters, Conv2dSpec{3, 3, 1, 1, 1, 1}));
    network.add("norm" + number, std::make_unique<GroupNorm>(default_groups(filters), filters));
    network.add("act" + number, std::make_unique<Relu>());
    if (i == 1 || i == 3) network.add("pool" + number, std::make_unique<MaxPool>(Pool2dSpec{2, 2, 2, 2, 0, 0}));
    channels = filters;
  }
  network.add("pool", std::make_unique<GlobalAvgPool>());
  if (dropout > 0.0f) network.add("drop", std::make_unique<Dropout>(dropout));
  network.add("out", std::make_unique<Linear>(channels, outputs));
  return network;
}

}  // namespace sutura
