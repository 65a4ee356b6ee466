#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace sutura {

/// One release of a Gaussian mechanism: deviation over the L2 distance of the two neighbouring means, z = 1 / mu.
struct GaussianEvent {
  double noise_multiplier = 0.0;
  bool operator==(const GaussianEvent&) const = default;
};
/// A release without protection: makes epsilon infinite, and says why.
struct NonPrivateEvent {
  std::string why;
  bool operator==(const NonPrivateEvent&) const = default;
};
/// What one release costs. The meaning of an alternative never changes; a new mechanism is a new alternative.
using DpEvent = std::variant<GaussianEvent, NonPrivateEvent>;

/// One line of text that event_from_text() reads back exactly: "gaussian 0x1.3p-1", "nonprivate WHY".
std::string text(const DpEvent& event);
/// Errors: kData for an event this version does not know: it is refused, never guessed.
DpEvent event_from_text(const std::string& text);

/// log Phi(x), the standard normal distribution function, with full relative precision in both tails.
double log_normal_cdf(double x);

/// delta(epsilon) of `releases` Gaussian releases of the same record, each with noise_multiplier z: mu = sqrt(releases)/z,
/// delta = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu). Exact; composition of Gaussians is exact.
/// Errors   kInvalidArgument for z <= 0, releases < 0, epsilon < 0 or NaN.
/// Source   Balle & Wang 2018 theorem 8; Dong, Roth & Su 2022 corollary 3.3.
double gaussian_delta(double noise_multiplier, double releases, double epsilon);
/// Smallest epsilon >= 0 with delta(epsilon) <= delta, from above (bisection, upper end).
/// Errors   kInvalidArgument; delta must lie in (0, 1).
double gaussian_epsilon(double noise_multiplier, double releases, double delta);
/// Smallest z with which `releases` releases are (epsilon, delta), from above.
/// Errors   kInvalidArgument; epsilon > 0, releases > 0.
double gaussian_noise_multiplier(double epsilon, double releases, double delta);

/// Adds up the events of one record.
class Accountant {
 public:
  /// Errors: kInvalidArgument for an event without meaning (z <= 0 or not finite).
  void add(const DpEvent& event, std::uint64_t count = 1);
  /// Sum of mu^2 over Gaussian events: sum count / z^2.
  double mu_squared() const;
  /// Infinite after a NonPrivateEvent.
  double epsilon(double delta) const;
  double delta(double epsilon) const;
  /// True if this many more of `event` would keep (epsilon, delta).
  bool allows(const DpEvent& event, std::uint64_t count, double epsilon, double delta) const;
  const std::vector<std::pair<DpEvent, std::uint64_t>>& events() const { return events_; }

 private:
  std::vector<std::pair<DpEvent, std::uint64_t>> events_;  // distinct events with their counts
};

}  // namespace sutura
