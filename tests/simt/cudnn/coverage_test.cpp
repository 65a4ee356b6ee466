// Results do not tell who computed them, so every op test would pass if the module never called a library. Here each suite of op
// tests, when it ends, must have had the calls computed that its ops stand for, on every variant.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "tests/ops/operation.h"
#include "tests/simt/cudnn/model.h"

namespace sutura::testing {
namespace {

using Calls = std::vector<std::string>;

/// What a suite's ops must have had computed. Convolutions by the algorithms that the heuristics proposed.
Calls expected(const std::string& suite, const Variant& v) {
  const bool exact = v.compute == DType::kFloat32 && v.math == Math::kIeee;
  // The proposals' own arithmetic, which tells them from what the module would ask for in bfloat16; exactly where that is allowed
  // alone.
  const std::string math = exact ? " fma" : " default math";
  if (suite == "Shapes/Conv2d")
    return {"cudnnConvolutionForward as proposed",   "cudnnConvolutionForward" + math, "cudnnConvolutionBackwardData" + math,
            "cudnnConvolutionBackwardFilter" + math, "cudnnConvolutionBackwardBias",   "cudnnAddTensor"};
  if (suite == "Shapes/Linear")
    return {"cublasLtMatmul TN", "cublasLtMatmul NN", "cublasLtMatmul NT", "cudnnConvolutionBackwardBias"};
  if (suite == "Shapes/Norm")
    return {"cudnnBatchNormalizationForwardTraining", "cudnnBatchNormalizationForwardInference",
            "cudnnBatchNormalizationBackward"};
  if (suite == "Shapes/Pool2d") return {"cudnnPoolingForward", "cudnnPoolingBackward"};
  if (suite == "Shapes/Elementwise")
    return {"cudnnActivationForward relu", "cudnnActivationForward sigmoid", "cudnnActivationBackward"};
  return {};
}

class Coverage : public ::testing::EmptyTestEventListener {
  void OnTestSuiteStart(const ::testing::TestSuite&) override { computed_.clear(); }
  void OnTestStart(const ::testing::TestInfo&) override { model::calls.clear(); }
  void OnTestEnd(const ::testing::TestInfo& test) override {
    for (const Variant& v : all_variants())
      if (std::string(test.name()).ends_with(text(v)))
        for (const auto& [call, times] : model::calls) computed_[text(v)][call] += times;
  }
  void OnTestSuiteEnd(const ::testing::TestSuite& suite) override {
    if (suite.test_to_run_count() != suite.total_test_count()) return;  // filtered: what is missing says nothing
    for (const Variant& v : all_variants())
      for (const std::string& call : expected(suite.name(), v))
        EXPECT_GT(computed_[text(v)][call], 0) << suite.name() << " on " << text(v) << " never had computed: " << call;
  }
  std::map<std::string, std::map<std::string, int>> computed_;  // by variant
};

[[maybe_unused]] const bool listens = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new Coverage);
  return true;
}();

// A renamed suite would expect nothing.
TEST(CudnnModuleCoverage, TheSuitesExist) {
  const ::testing::UnitTest& all = *::testing::UnitTest::GetInstance();
  std::size_t found = 0;
  for (int i = 0; i < all.total_test_suite_count(); ++i)
    found += expected(all.GetTestSuite(i)->name(), all_variants().front()).empty() ? 0 : 1;
  EXPECT_EQ(found, 5u);
}

}  // namespace
}  // namespace sutura::testing
