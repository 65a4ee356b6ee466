#pragma once
#include <cstdint>

namespace sutura {

/// Regularised incomplete beta function I_x(a, b), a, b > 0, 0 <= x <= 1.
/// Source   continued fraction of Abramowitz & Stegun 26.5.8, modified Lentz.
double incomplete_beta(double a, double b, double x);

/// One-sided Clopper-Pearson bounds of a probability after `hits` of `trials`: each is wrong with probability <= alpha.
/// Errors   kInvalidArgument unless 0 <= hits <= trials, trials >= 1, 0 < alpha < 1.
double clopper_pearson_lower(std::int64_t hits, std::int64_t trials, double alpha);
double clopper_pearson_upper(std::int64_t hits, std::int64_t trials, double alpha);

}  // namespace sutura
