// Handles outlive their streams and serve the next ones: never two at a time, and always on the stream of whom they serve.
#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "kernels/cuda/cudnn/handles.h"
#include "tests/simt/cudnn/model.h"
#include "tests/simt/cudnn/module.h"

namespace sutura::testing {
namespace {

using cudnn::Handles;

Context fresh() { return Context(Backend::kCudnn, module_over_the_model()); }

void expect_bound(const Context& ctx) { EXPECT_EQ(Handles::of(ctx).dnn->stream, ctx.stream().stream()); }

TEST(CudnnModuleHandles, OfContextsThatLiveTogetherDiffer) {
  std::vector<Context> contexts;
  std::set<const void*> handles;
  for (int i = 0; i < 5; ++i) contexts.push_back(fresh());
  for (const Context& ctx : contexts) {
    handles.insert(Handles::of(ctx).dnn);
    handles.insert(Handles::of(ctx).blas);
    expect_bound(ctx);
  }
  EXPECT_EQ(handles.size(), 10u);
}

TEST(CudnnModuleHandles, ServeTheNextStream) {
  std::optional<Context> first(fresh());
  const cudnnHandle_t dnn = Handles::of(*first).dnn;
  const cublasLtHandle_t blas = Handles::of(*first).blas;
  first.reset();
  EXPECT_EQ(dnn->stream, nullptr) << "a stream that is gone";
  const Context second = fresh(), third = fresh();
  EXPECT_EQ(Handles::of(second).dnn, dnn);
  EXPECT_EQ(Handles::of(second).blas, blas);
  EXPECT_NE(Handles::of(third).dnn, dnn);
  expect_bound(second);
  expect_bound(third);
}

TEST(CudnnModuleHandles, AreTakenAndGivenByManyThreads) {
  module_over_the_model();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([] {
      for (int i = 0; i < 200; ++i) {
        const Context a = fresh(), b = fresh();
        EXPECT_NE(Handles::of(a).dnn, Handles::of(b).dnn);
        expect_bound(a);  // as it stays only where no other thread has the same
        expect_bound(b);
      }
    });
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace sutura::testing
