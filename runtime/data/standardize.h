#pragma once
#include <span>

#include "kernels/tensor.h"
#include "runtime/data/dataset.h"
#include "runtime/data/records.h"

namespace sutura {

/// Scaling by constants of the study. `centre` and `scale` hold one value for all, or one per numeric feature in order;
/// indicators get centre 0 and scale 1.
/// Errors: kConfig for another number of values, or a scale that is not above 0.
Scaling constant_scaling(std::span<const FeatureKind> kinds, std::span<const double> centre,
                         std::span<const double> scale);
/// Mean and standard deviation (population form) of each numeric feature over the training records of one site; missing
/// values do not count. A feature that never varies gets scale 1, one that is never there also centre 0.
/// Numbers: two passes in double, in record order. The result is a statistic of `train`: from_records says of how many.
Scaling training_scaling(std::span<const FeatureKind> kinds, const Tensor& train);
/// x = (x - centre) / scale in place, computed in double; a missing value (NaN) becomes 0, the centre.
/// Shapes: [N, D] or [N, H, W, C]; one pair per position of the last dimension.
/// Errors: kData when a value leaves float32's range, kConfig when a missing value meets an empty scaling.
void apply_scaling(const Scaling& scaling, Tensor& features);

}  // namespace sutura
