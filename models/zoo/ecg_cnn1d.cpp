#include "models/layers/activation.h"
#include "models/layers/conv.h"
#include "models/layers/dropout.h"
#include "models/layers/norm.h"
#include "models/layers/pool.h"
#include "models/zoo/zoo.h"

namespace sutura {

Network make_ecg_cnn1d(OptionReader& options, const Shape& x, std::int64_t outputs) {
  const std::int64_t width = options.integer("width", 32, 1, 4096);
  const std::int64_t kernel = options.integer("kernel", 11, 1, 255);
  const auto dropout = static_cast<float>(options.number("dropout", 0.2, 0.0, 1.0));
  if (kernel % 2 == 0) options.fail("option 'kernel' must be odd, so that a convolution keeps the length");
  if (x.rank() != 4 || x[1] != 1 || x[2] < 8) options.fail("takes signals [N, 1, L, C] with L at least 8, got " + x.text());
  constexpr std::int64_t kTimesWidth[] = {1, 2, 2, 3};
  Network network;
  std::int64_t channels = x[3];
  for (int i = 1; i <= 4; ++i) {
    const std::string number = std::to_string(i);
    const std::int64_t filters = width * kTimesWidth[i - 1];
    network.add("conv" + number, std::make_unique<Conv2d>(channels, filters, Conv2dSpec{1, kernel, 1, 1, 0, kernel / 2}));
    network.add("norm" + number, std::make_unique<GroupNorm>(default_groups(filters), filters));
    network.add("act" + number, std::make_unique<Relu>());
    if (i < 4) network.add("pool" + number, std::make_unique<MaxPool>(Pool2dSpec{1, 2, 1, 2, 0, 0}));
    channels = filters;
  }
  network.add("pool", std::make_unique<GlobalAvgPool>());
  if (dropout > 0.0f) network.add("drop", std::make_unique<Dropout>(dropout));
  network.add("out", std::make_unique<Linear>(channels, outputs));
  return network;
}

}  // namespace sutura
