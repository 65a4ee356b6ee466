#pragma once

/// Elementary functions of the `reference` backend: fixed polynomials in double, no libm, so that the bits are the same
/// on every x86-64 (libm chooses code paths by CPU feature). Within 4 ulp of double except where a line says otherwise;
/// rounded to float the result is the nearest float but for rare ties. All rely on round-to-nearest without
/// flush-to-zero.
/// Numbers  NaN gives NaN everywhere.
namespace sutura::reference {

/// e^x; +inf above 709.78, 0 below -745.13.
double exp(double x);
/// e^x - 1 without cancellation near 0.
double expm1(double x);
/// Natural logarithm; -inf at 0, NaN below.
double log(double x);
/// log(1 + x) for x > -1, without cancellation near 0.
double log1p(double x);
/// Hyperbolic tangent, within 8 ulp of double.
double tanh(double x);
/// Error function.
double erf(double x);
/// 1 / (1 + e^-x), no overflow; relative accuracy also in the lower tail.
double sigmoid(double x);

/// Throws Error(kDevice) unless this thread rounds to nearest and keeps subnormals: what the functions above and the
/// bit-exact promise rely on. A linked library or a caller may have changed the mode.
void require_ieee_mode();

}  // namespace sutura::reference
