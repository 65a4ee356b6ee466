#include "models/layers/activation.h"
#include "models/layers/dropout.h"
#include "models/layers/linear.h"
#include "models/zoo/zoo.h"

namespace sutura {

Network make_mlp(OptionReader& options, const Shape& x, std::int64_t outputs) {
  const auto hidden = options.integers("hidden", {64, 32}, 1);
  const std::string activation = options.choice("activation", "relu", {"relu", "gelu"});
  const auto dropout = static_cast<float>(options.number("dropout", 0.0, 0.0, 1.0));
  if (x.rank() != 2) options.fail("takes rows [N, D], got " + x.text());
  Network network;
  std::int64_t inputs = x[1];
  for (std::size_t i = 0; i < hidden.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    network.add("fc" + number, std::make_unique<Linear>(inputs, hidden[i]));
    if (activation == "gelu")
      network.add("act" + number, std::make_unique<Gelu>());
    else
      network.add("act" + number, std::make_unique<Relu>());
    if (dropout > 0.0f) network.add("drop" + number, std::make_unique<Dropout>(dropout));
    inputs = hidden[i];
  }
  network.add("out", std::make_unique<Linear>(inputs, outputs));
  return network;
}

}  // namespace sutura
