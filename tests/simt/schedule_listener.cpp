// Every test begins with the schedule of SUTURA_SIMT_SEED, whichever tests ran before it, and says so where it fails.
#include <gtest/gtest.h>

#include <cstdio>

#include "executor.h"

namespace sutura::simt {
namespace {

class Listener : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo&) override { seed_schedule(first_seed()); }
  void OnTestEnd(const ::testing::TestInfo& test) override {
    if (test.result()->Failed()) std::printf("SUTURA_SIMT_SEED=%u\n", first_seed());
  }
};

[[maybe_unused]] const bool listens = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new Listener);
  return true;
}();

}  // namespace
}  // namespace sutura::simt
