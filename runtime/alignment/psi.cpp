#include "runtime/alignment/psi.h"

#include <sodium.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "core/error.h"

namespace sutura {
namespace {

constexpr std::string_view kDomain = "sutura alignment v1";
static_assert(crypto_core_ristretto255_BYTES == 32 && crypto_core_ristretto255_SCALARBYTES == 32);
static_assert(crypto_core_ristretto255_HASHBYTES == crypto_hash_sha512_BYTES);

unsigned char* raw(Point& p) { return reinterpret_cast<unsigned char*>(p.data()); }
const unsigned char* raw(ByteSpan s) { return reinterpret_cast<const unsigned char*>(s.data()); }

void start_sodium() { require(sodium_init() >= 0, Errc::kInternal, "libsodium does not start"); }

bool is_identity(const Point& p) { return sodium_is_zero(raw(ByteSpan(p)), p.size()) == 1; }

/// Calls work(i) for 0 <= i < n, each thread on a run of neighbours. The lowest i whose work returned false, or n.
template <class Work>
std::size_t first_failure(std::size_t n, int threads, const Work& work) {
  constexpr std::size_t kWorthAThread = 64;
  const std::size_t wanted = std::clamp<std::size_t>(static_cast<std::size_t>(std::max(threads, 1)), 1, n / kWorthAThread + 1);
  std::vector<std::size_t> failed(wanted, n);
  const auto run = [&](std::size_t t) {
    for (std::size_t i = n * t / wanted; i < n * (t + 1) / wanted; ++i) {
      if (work(i)) continue;
      failed[t] = i;
      return;
    }
  };
  {
    std::vector<std::jthread> others;
    for (std::size_t t = 1; t < wanted; ++t) others.emplace_back(run, t);
    run(0);
  }
  return *std::ranges::min_element(failed);
}

void refuse_point(std::size_t place, std::size_t n) {
  if (place == n) return;
  throw Error(Errc::kProtocol, "point " + std::to_string(place) + " of " + std::to_string(n) +
                                   " is not the encoding of a group element, or is the identity");
}

/// False if the hash of the identifier is not usable, which no identifier that anybody can find leads to.
bool hash_point(std::string_view identifier, Point& out) {
  std::array<std::byte, 8> length;
  store_le(length, 0, static_cast<std::uint64_t>(identifier.size()));
  crypto_hash_sha512_state state;
  std::array<unsigned char, crypto_hash_sha512_BYTES> digest;
  bool ok = crypto_hash_sha512_init(&state) == 0;
  for (const ByteSpan part : {as_bytes(kDomain), ByteSpan(length), as_bytes(identifier)})
    ok = ok && crypto_hash_sha512_update(&state, raw(part), part.size()) == 0;
  ok = ok && crypto_hash_sha512_final(&state, digest.data()) == 0 &&
       crypto_core_ristretto255_from_hash(raw(out), digest.data()) == 0 && !is_identity(out);
  sodium_memzero(&state, sizeof state);
  sodium_memzero(digest.data(), digest.size());
  return ok;
}

/// libsodium refuses encodings that are not canonical and results that are the identity, but leaves the output undefined.
bool multiply(Point& point, const Scalar& secret) {
  Point product;
  if (crypto_scalarmult_ristretto255(raw(product), secret.data(), raw(ByteSpan(point))) != 0) return false;
  point = product;
  return true;
}

}  // namespace

void Scalar::Free::operator()(unsigned char* memory) const { sodium_free(memory); }

Scalar::Scalar() {
  start_sodium();
  memory_.reset(static_cast<unsigned char*>(sodium_malloc(crypto_core_ristretto255_SCALARBYTES)));
  require(memory_ != nullptr, Errc::kResources, "no protected memory for a secret key");
}

Scalar Scalar::fresh() {
  Scalar s;
  crypto_core_ristretto255_scalar_random(s.memory_.get());
  return s;
}

Scalar::Scalar(ByteSpan bytes) : Scalar() {
  require(bytes.size() == 32, Errc::kInvalidArgument, "a scalar has 32 bytes");
  std::array<unsigned char, crypto_core_ristretto255_NONREDUCEDSCALARBYTES> wide{};
  std::memcpy(wide.data(), bytes.data(), bytes.size());
  crypto_core_ristretto255_scalar_reduce(memory_.get(), wide.data());
  const bool reduced = sodium_memcmp(memory_.get(), wide.data(), 32) == 0 && sodium_is_zero(memory_.get(), 32) == 0;
  sodium_memzero(wide.data(), wide.size());
  require(reduced, Errc::kInvalidArgument, "a scalar is below the group's order and not zero");
}

Point hash_to_group(std::string_view identifier) {
  start_sodium();
  Point p;
  require(hash_point(identifier, p), Errc::kInternal, "libsodium does not hash to the group");
  return p;
}

void blind(std::span<Point> points, const Scalar& secret, int threads) {
  refuse_point(first_failure(points.size(), threads, [&](std::size_t i) { return multiply(points[i], secret); }), points.size());
}

void hash_and_blind(std::span<const std::string_view> identifiers, std::span<Point> out, const Scalar& secret, int threads) {
  require(identifiers.size() == out.size(), Errc::kInvalidArgument, "as many points as identifiers are written");
  start_sodium();
  const std::size_t failed = first_failure(
      out.size(), threads, [&](std::size_t i) { return hash_point(identifiers[i], out[i]) && multiply(out[i], secret); });
  require(failed == out.size(), Errc::kInternal, "libsodium does not hash to the group");
}

void require_set(std::span<const Point> points, int threads) {
  start_sodium();
  // is_valid_point accepts the identity.
  refuse_point(first_failure(points.size(), threads,
                             [&](std::size_t i) {
                               return crypto_core_ristretto255_is_valid_point(raw(ByteSpan(points[i]))) == 1 &&
                                      !is_identity(points[i]);
                             }),
               points.size());
  std::vector<Point> sorted(points.begin(), points.end());
  std::ranges::sort(sorted);
  require(std::ranges::adjacent_find(sorted) == sorted.end(), Errc::kProtocol,
          "a set of blinded identifiers holds a point twice");
}

std::vector<std::vector<std::uint8_t>> common_to_all(std::span<const std::vector<Point>> sets) {
  std::vector<Point> common;
  for (std::size_t s = 0; s < sets.size(); ++s) {
    std::vector<Point> sorted = sets[s];
    std::ranges::sort(sorted);
    if (s == 0) {
      common = std::move(sorted);
      continue;
    }
    std::vector<Point> both;
    std::ranges::set_intersection(common, sorted, std::back_inserter(both));
    common = std::move(both);
  }
  std::vector<std::vector<std::uint8_t>> masks;
  for (const std::vector<Point>& set : sets) {
    std::vector<std::uint8_t>& mask = masks.emplace_back(set.size());
    for (std::size_t i = 0; i < set.size(); ++i) mask[i] = std::ranges::binary_search(common, set[i]) ? 1 : 0;
  }
  return masks;
}

}  // namespace sutura
