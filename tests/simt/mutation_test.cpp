// The executor is only worth what it finds: the kernels' mainloop passes a check that every planted mistake fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "executor.h"
#include "product.h"
#include "runtimes.h"

namespace sutura::testing {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr unsigned kSeeds = 2;  // each switch costs microseconds there
#else
constexpr unsigned kSeeds = 11;
#endif

using Function = void (*)(Layout, const bf16*, const bf16*, float*, int, int, int, Stream);

/// Whole numbers so small that every sum is exact: the result is right to the last bit or wrong. Empty: right.
std::string what_is_wrong(const DeviceRuntime& runtime, Function product, Layout layout, int m, int n, int k) {
  std::mt19937 draw(static_cast<unsigned>(m + n + k));
  std::vector<int> a(static_cast<std::size_t>(m * k)), b(static_cast<std::size_t>(n * k));
  for (int& v : a) v = static_cast<int>(draw() % 15) - 7;
  for (int& v : b) v = static_cast<int>(draw() % 15) - 7;
  const auto rounded = [](const std::vector<int>& from) {
    std::vector<bf16> to;
    for (const int v : from) to.push_back(to_bf16(static_cast<float>(v)));
    return to;
  };
  try {
    const DeviceBuffer<bf16> on_device_a(runtime, rounded(a)), on_device_b(runtime, rounded(b));
    const DeviceBuffer<float> c(runtime, std::vector<float>(static_cast<std::size_t>(m * n), -0.5f));
    product(layout, on_device_a.data(), on_device_b.data(), c.data(), m, n, k, c.stream());
    const std::vector<float> got = c.values();
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j) {
        int sum = 0;
        for (int d = 0; d < k; ++d)
          sum += layout == Layout::kDepth ? a[static_cast<std::size_t>(i * k + d)] * b[static_cast<std::size_t>(j * k + d)]
                                          : a[static_cast<std::size_t>(d * m + i)] * b[static_cast<std::size_t>(d * n + j)];
        if (got[static_cast<std::size_t>(i * n + j)] != static_cast<float>(sum)) return "a wrong element";
      }
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// Ragged edges in every direction, fewer stages than are kept under way and more. One row beyond the last is 160 bytes: a
/// mutant that writes it stays inside the guard band.
std::string what_is_wrong(const DeviceRuntime& runtime, Function product) {
  std::string all;
  for (const int k : {8, 40, 264}) {
    all += what_is_wrong(runtime, product, Layout::kDepth, 127, 40, k);
    all += what_is_wrong(runtime, product, Layout::kRows, 136, 72, k);
  }
  return all;
}

TEST(Mutation, TheMainloopIsRightOnEveryDevice) {
  for (const Device& device : devices()) {
    if (!device.runtime->why_unusable().empty()) continue;
    EXPECT_EQ(what_is_wrong(*device.runtime, device.product), "") << device.name;
  }
}

TEST(Mutation, TheMainloopIsRightInEveryOrder) {
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    simt::seed_schedule(seed);
    EXPECT_EQ(what_is_wrong(simt_runtime(), simt::product), "") << seed;
  }
}

struct Mutant {
  const char* name;
  Function product;
};
#define SUTURA_MUTANT(name) {#name, name::product},
const Mutant kMutants[] = {SUTURA_EACH_MUTANT(SUTURA_MUTANT)};
#undef SUTURA_MUTANT

/// What must be said of a mutant: not any failure will do.
std::string reason(const std::string& mutant) {
  if (mutant == "mutant_read") return "does not come from inside one allocation";
  if (mutant == "mutant_write") return "just outside an allocation";
  if (mutant == "mutant_shared") return "does not go to one shared array";
  return "a wrong element";
}

class Mutants : public ::testing::TestWithParam<Mutant> {};

/// With every seed: a mistake that only some orders show would be found by luck.
TEST_P(Mutants, IsFound) {
#if defined(__SANITIZE_ADDRESS__)
  if (std::string(GetParam().name) == "mutant_write") {
    EXPECT_DEATH(what_is_wrong(simt_runtime(), GetParam().product), "AddressSanitizer");
    return;
  }
#endif
  for (unsigned seed = 1; seed <= kSeeds; ++seed) {
    simt::seed_schedule(seed);
    EXPECT_THAT(what_is_wrong(simt_runtime(), GetParam().product), ::testing::HasSubstr(reason(GetParam().name))) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Mainloop, Mutants, ::testing::ValuesIn(kMutants), [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sutura::testing
