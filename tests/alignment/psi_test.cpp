#include "runtime/alignment/psi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>

#include "core/error.h"
#include "tests/alignment/people.h"

namespace sutura {
namespace {

struct Vector {
  std::string_view identifier;
  const char *hash, *scalar, *product;
};
struct Refusal {
  const char *encoding, *why;
};
#define V(identifier, hash, scalar, product) {identifier, hash, scalar, product},
#define R(encoding, why)
constexpr Vector kVectors[] = {
#include "tests/alignment/ristretto_vectors.inc"
};
#undef V
#undef R
#define V(identifier, hash, scalar, product)
#define R(encoding, why) {encoding, why},
constexpr Refusal kRefusals[] = {
#include "tests/alignment/ristretto_vectors.inc"
};

Point point_of(const char* hex) {
  const Bytes bytes = from_hex(hex);
  Point p;
  std::ranges::copy(bytes, p.begin());
  return p;
}

Errc code_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.code();
  }
  return Errc::kInternal;
}

std::vector<Point> hashed(const std::vector<std::string>& ids, const Scalar& secret, int threads) {
  const std::vector<std::string_view> views(ids.begin(), ids.end());
  std::vector<Point> points(ids.size());
  hash_and_blind(views, points, secret, threads);
  return points;
}

// The fixture is computed in Python integers from the formulas of RFC 9496, without libsodium.
TEST(Psi, KnownAnswers) {
  EXPECT_EQ(std::size(kVectors), 8u);
  for (const Vector& v : kVectors) {
    Point p = hash_to_group(v.identifier);
    EXPECT_EQ(to_hex(p), v.hash) << v.identifier;
    blind(std::span(&p, 1), Scalar(from_hex(v.scalar)), 1);
    EXPECT_EQ(to_hex(p), v.product) << v.identifier;
    EXPECT_EQ(hashed({std::string(v.identifier)}, Scalar(from_hex(v.scalar)), 1)[0], p);
  }
}

TEST(Psi, BadPointsAreRefused) {
  EXPECT_EQ(std::size(kRefusals), 16u);
  const Scalar secret = Scalar::fresh();
  const Point good = hash_to_group("good");
  std::vector<Point> others;
  for (int i = 0; i < 200; ++i) others.push_back(hash_to_group(std::to_string(i)));
  std::vector<Point> bad{Point{}};  // the identity
  for (const Refusal& r : kRefusals) bad.push_back(point_of(r.encoding));
  for (const Point& b : bad) {
    for (const std::size_t place : {0, 1, 199}) {
      std::vector<Point> points(200, good);
      points[place] = b;
      for (std::size_t i = 0; i < points.size(); ++i)
        if (i != place) points[i] = others[i];
      EXPECT_NO_THROW(require_set(others, 3));
      EXPECT_EQ(code_of([&] { require_set(points, 3); }), Errc::kProtocol) << to_hex(b);
      try {
        blind(points, secret, 3);
        ADD_FAILURE() << to_hex(b);
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Errc::kProtocol);
        EXPECT_EQ(std::string(e.what()).find("point " + std::to_string(place) + " of 200"), 0u) << e.what();
      }
    }
  }
  std::vector<Point> points(200, good);
  EXPECT_NO_THROW(blind(points, secret, 3));
}

TEST(Psi, Scalars) {
  EXPECT_EQ(code_of([] { Scalar(Bytes(32)); }), Errc::kInvalidArgument);
  EXPECT_EQ(code_of([] { Scalar(Bytes(32, std::byte{0xff})); }), Errc::kInvalidArgument);
  EXPECT_EQ(code_of([] { Scalar(Bytes(31, std::byte{1})); }), Errc::kInvalidArgument);
  // The group's order itself is not reduced.
  EXPECT_EQ(code_of([] { Scalar(from_hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")); }),
            Errc::kInvalidArgument);
  Point one = hash_to_group("x");
  Bytes unit(32);
  unit[0] = std::byte{1};
  blind(std::span(&one, 1), Scalar(unit), 1);
  EXPECT_EQ(one, hash_to_group("x"));
  Point a = one, b = one;
  blind(std::span(&a, 1), Scalar::fresh(), 1);
  blind(std::span(&b, 1), Scalar::fresh(), 1);
  EXPECT_NE(a, b) << "two fresh secrets are the same";
}

TEST(Psi, ThreadsAndOrderOfBlindingDoNotMatter) {
  std::vector<std::string> ids;
  for (int i = 0; i < 777; ++i) ids.push_back("record " + std::to_string(i));
  const Scalar k = Scalar::fresh(), l = Scalar::fresh();
  auto ab = hashed(ids, k, 1), ba = hashed(ids, l, 5);
  EXPECT_EQ(ab, hashed(ids, k, 4));
  EXPECT_NE(ab, ba);
  blind(ab, l, 3);
  blind(ba, k, 2);
  EXPECT_EQ(ab, ba);
  EXPECT_EQ(std::set<Point>(ab.begin(), ab.end()).size(), ids.size());
}

enum class Diligence { kAll, kOneSkips };

/// The sets of all parties after everybody's blinding, without messages. kOneSkips: party 1 passes the set of party 0 on as it is.
std::vector<std::vector<Point>> blinded_by_all(const std::vector<std::vector<std::string>>& parties, Diligence diligence) {
  std::vector<Scalar> secrets;
  for (std::size_t i = 0; i < parties.size(); ++i) secrets.push_back(Scalar::fresh());
  std::vector<std::vector<Point>> sets;
  for (std::size_t i = 0; i < parties.size(); ++i) {
    sets.push_back(hashed(parties[i], secrets[i], 2));
    for (std::size_t hop = 1; hop < parties.size(); ++hop) {
      const std::size_t at = (i + hop) % parties.size();
      if (diligence == Diligence::kOneSkips && i == 0 && at == 1) continue;
      blind(sets.back(), secrets[at], 2);
    }
  }
  return sets;
}

TEST(Psi, TheIntersectionNeedsEverybodysBlinding) {
  for (const std::size_t n : {2, 3, 5}) {
    const People people(n, 120, 60, n);
    const auto masks = common_to_all(blinded_by_all(people.identifiers, Diligence::kAll));
    for (std::size_t p = 0; p < n; ++p) {
      std::vector<std::string> found;
      for (std::size_t i = 0; i < masks[p].size(); ++i)
        if (masks[p][i]) found.push_back(people.identifiers[p][i]);
      std::ranges::sort(found);
      EXPECT_EQ(found, people.common()) << n << " parties, party " << p;
    }
    // The control: one multiplication left out, and nothing meets any more.
    for (const auto& mask : common_to_all(blinded_by_all(people.identifiers, Diligence::kOneSkips)))
      EXPECT_EQ(std::accumulate(mask.begin(), mask.end(), 0), 0);
  }
}

TEST(Psi, ASetWithAPointTwiceIsRefused) {
  const Point a = hash_to_group("a"), b = hash_to_group("b");
  EXPECT_NO_THROW(require_set(std::vector{a, b}, 1));
  EXPECT_EQ(code_of([&] { require_set(std::vector{b, a, b}, 1); }), Errc::kProtocol);
}

}  // namespace
}  // namespace sutura
