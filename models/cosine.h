#pragma once

namespace sutura {

/// cos(pi x), within 2 ulp of double near its peaks and exactly 0 at odd multiples of 1/2; NaN for NaN or infinity.
/// A fixed polynomial instead of libm, whose bits depend on the processor: schedules and public constants must not.
double cos_pi(double x);

}  // namespace sutura
