#include "runtime/privacy/accountant.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <numbers>

#include "core/error.h"

namespace sutura {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// e^(x^2) erfc(x) for x >= 3.5, by its continued fraction; 80 terms leave nothing at double precision there.
double scaled_erfc(double x) {
  double tail = x;
  for (int k = 80; k >= 1; --k) tail = x + 0.5 * k / tail;
  return std::numbers::inv_sqrtpi / tail;
}

double delta_of_mu(double mu, double epsilon) {
  if (mu == 0.0) return 0.0;
  const double log_a = log_normal_cdf(mu / 2 - epsilon / mu);
  const double log_b = epsilon + log_normal_cdf(-mu / 2 - epsilon / mu);
  if (!(log_b < log_a)) return 0.0;
  return std::exp(log_a) * -std::expm1(log_b - log_a);
}

/// The upper end of the interval in which a decreasing condition turns true; stops when the interval is one ulp wide.
template <class Holds>
double smallest_that_holds(double low, double high, Holds holds) {
  while (!holds(high)) {
    low = high;
    high *= 2;
    require(std::isfinite(high), Errc::kInvalidArgument, "no finite value satisfies the privacy request");
  }
  for (;;) {
    const double middle = low + (high - low) / 2;
    if (!(middle > low && middle < high)) return high;
    (holds(middle) ? high : low) = middle;
  }
}

double epsilon_of_mu(double mu, double delta) {
  if (delta_of_mu(mu, 0.0) <= delta) return 0.0;
  return smallest_that_holds(0.0, 1.0, [&](double e) { return delta_of_mu(mu, e) <= delta; });
}

void check_delta(double delta) { require(delta > 0 && delta < 1, Errc::kInvalidArgument, "delta must lie between 0 and 1"); }
void check_multiplier(double z) {
  require(std::isfinite(z) && z > 0, Errc::kInvalidArgument, "noise_multiplier must be a positive number");
}

}  // namespace

std::string text(const DpEvent& event) {
  if (const auto* g = std::get_if<GaussianEvent>(&event)) {
    char buffer[64];
    std::snprintf(buffer, sizeof buffer, "gaussian %a", g->noise_multiplier);
    return buffer;
  }
  return "nonprivate " + std::get<NonPrivateEvent>(event).why;
}

DpEvent event_from_text(const std::string& text) {
  const auto space = text.find(' ');
  const std::string kind = text.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : text.substr(space + 1);
  if (kind == "gaussian") {
    char* end = nullptr;
    const double z = std::strtod(rest.c_str(), &end);
    require(!rest.empty() && *end == '\0' && std::isfinite(z) && z > 0, Errc::kData,
            "a Gaussian privacy event has no valid noise");
    return GaussianEvent{z};
  }
  if (kind == "nonprivate") return NonPrivateEvent{rest};
  throw Error(Errc::kData, "a privacy event of a kind this version does not know: refused");
}

double log_normal_cdf(double x) {
  if (x < -5.0) return std::log(scaled_erfc(-x / std::numbers::sqrt2)) - x * x / 2 - std::numbers::ln2;
  if (x < 0.0) return std::log(0.5 * std::erfc(-x / std::numbers::sqrt2));
  return std::log1p(-0.5 * std::erfc(x / std::numbers::sqrt2));
}

double gaussian_delta(double noise_multiplier, double releases, double epsilon) {
  check_multiplier(noise_multiplier);
  require(releases >= 0 && std::isfinite(releases), Errc::kInvalidArgument, "the number of releases must not be negative");
  require(epsilon >= 0, Errc::kInvalidArgument, "epsilon must not be negative");
  return delta_of_mu(std::sqrt(releases) / noise_multiplier, epsilon);
}

double gaussian_epsilon(double noise_multiplier, double releases, double delta) {
  check_multiplier(noise_multiplier);
  check_delta(delta);
  require(releases >= 0 && std::isfinite(releases), Errc::kInvalidArgument, "the number of releases must not be negative");
  return epsilon_of_mu(std::sqrt(releases) / noise_multiplier, delta);
}

double gaussian_noise_multiplier(double epsilon, double releases, double delta) {
  check_delta(delta);
  require(std::isfinite(epsilon) && epsilon > 0, Errc::kInvalidArgument, "epsilon must be a positive number");
  require(releases > 0 && std::isfinite(releases), Errc::kInvalidArgument, "the number of releases must be positive");
  const double one = smallest_that_holds(0.0, 1.0, [&](double z) { return z > 0 && delta_of_mu(1 / z, epsilon) <= delta; });
  // A hair above: sums of 1/z^2 round in the last place, and the budget filter that compares them has no tolerance.
  return one * std::sqrt(releases) * (1 + 1e-13);
}

void Accountant::add(const DpEvent& event, std::uint64_t count) {
  if (const auto* g = std::get_if<GaussianEvent>(&event)) check_multiplier(g->noise_multiplier);
  if (count == 0) return;
  for (auto& [known, n] : events_) {
    if (known == event) {
      n += count;
      return;
    }
  }
  events_.emplace_back(event, count);
}

double Accountant::mu_squared() const {
  double sum = 0;
  for (const auto& [event, n] : events_) {
    const auto* g = std::get_if<GaussianEvent>(&event);
    if (g == nullptr) return kInfinity;
    sum += static_cast<double>(n) / (g->noise_multiplier * g->noise_multiplier);
  }
  return sum;
}

double Accountant::epsilon(double delta) const {
  check_delta(delta);
  const double m = mu_squared();
  return std::isinf(m) ? kInfinity : epsilon_of_mu(std::sqrt(m), delta);
}

double Accountant::delta(double epsilon) const {
  require(epsilon >= 0, Errc::kInvalidArgument, "epsilon must not be negative");
  const double m = mu_squared();
  return std::isinf(m) ? 1.0 : delta_of_mu(std::sqrt(m), epsilon);
}

bool Accountant::allows(const DpEvent& event, std::uint64_t count, double epsilon, double delta) const {
  if (std::isinf(epsilon)) return true;
  Accountant after = *this;
  after.add(event, count);
  return after.delta(epsilon) <= delta;
}

}  // namespace sutura
