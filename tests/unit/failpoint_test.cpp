#include "core/failpoint.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "tests/unit/child.h"

namespace sutura {
namespace {

using testing::Child;

/// Passes "test.other" once before each of `passes` of "test.point"; the status, or minus the signal, of that process.
/// Forked, because the environment is read once in a process.
int end_with(const char* armed, int passes) {
  Child child([&](Child&) {
    if (armed != nullptr) {
      ::setenv("SUTURA_FAILPOINT", armed, 1);
    } else {
      ::unsetenv("SUTURA_FAILPOINT");
    }
    for (int i = 0; i < passes; ++i) {
      failpoint("test.other");
      failpoint("test.point");
    }
    return 7;
  });
  return child.wait();
}

#ifdef SUTURA_FAILPOINTS

TEST(Failpoint, KillsAtTheNamedPass) {
  EXPECT_EQ(end_with("test.point:1", 1), -SIGKILL);
  EXPECT_EQ(end_with("test.point:3", 3), -SIGKILL);
  EXPECT_EQ(end_with("test.point:3", 2), 7) << "only at the third pass";
}

TEST(Failpoint, AllOtherPointsArePassed) {
  EXPECT_EQ(end_with("test.poin:1", 3), 7);
  EXPECT_EQ(end_with("test.point2:1", 3), 7);
  EXPECT_EQ(end_with(":1", 3), 7);
}

TEST(Failpoint, WithoutAnArmedPointNothingHappens) {
  EXPECT_EQ(end_with(nullptr, 3), 7);
  EXPECT_EQ(end_with("", 3), 7);
  EXPECT_EQ(end_with("test.point", 3), 7) << "no number";
  EXPECT_EQ(end_with("test.point:0", 3), 7) << "passes count from 1";
}

#else

TEST(Failpoint, IsNothingInThisBuild) {
  EXPECT_EQ(end_with("test.point:1", 3), 7) << "a program for use must not be killed by its environment";
  EXPECT_EQ(end_with(nullptr, 3), 7);
}

#endif

}  // namespace
}  // namespace sutura
