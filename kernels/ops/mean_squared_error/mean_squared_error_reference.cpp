#include <vector>

#include "kernels/cpu/reduce.h"
#include "kernels/ops/mean_squared_error/mean_squared_error_impl.h"

namespace sutura::reference {

double mean_squared_error(Context&, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y) {
  const auto rows = static_cast<std::size_t>(y.shape()[0]);
  const auto width = static_cast<std::size_t>(y.shape()[1]);
  std::vector<double> losses(rows), squares(width);
  for (std::size_t n = 0; n < rows; ++n) {
    for (std::size_t d = 0; d < width; ++d) {
      const std::size_t i = n * width + d;
      const double difference = double{y.f32()[i]} - target.f32()[i];
      squares[d] = difference * difference;
      grad_y.f32()[i] = static_cast<float>(scale * 2.0 / static_cast<double>(width) * difference);
    }
    losses[n] = sum_tree(squares) / static_cast<double>(width);
  }
  return scale * sum_tree(losses);
}

}  // namespace sutura::reference
