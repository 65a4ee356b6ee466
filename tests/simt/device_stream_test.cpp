// Memory of a stream whose work is done later than it is issued, as a GPU's is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <optional>
#include <vector>

#include "kernels/context.h"
#include "kernels/device_ops.h"
#include "kernels/device_stream.h"
#include "tests/simt/executor.h"

namespace sutura::testing {
namespace {

using ::testing::Each;

std::vector<std::function<void()>> late;  // copies to the host, done when the stream is waited for

void copy_late(Stream, void* to, const void* from, std::size_t bytes) {
  late.push_back([=] { std::memcpy(to, from, bytes); });
}
void synchronise_late(Stream s) {
  for (const auto& copy : late) copy();
  late.clear();
  simt::table().runtime->synchronise(s);
}

class LateStream : public ::testing::Test {
 protected:
  LateStream() : runtime_(*simt::table().runtime), ops_(simt::table()) {
    runtime_.copy_to_host = copy_late;
    runtime_.synchronise = synchronise_late;
    ops_.runtime = &runtime_;
    ctx_.emplace(Backend::kNative, ops_);
  }
  DeviceRuntime runtime_;
  DeviceOps ops_;
  std::optional<Context> ctx_;
};

TEST_F(LateStream, PinnedMemoryThatACopyMayStillWriteIsNotHandedOut) {
  const Tensor zeros = ctx_->zeros({64});
  {
    Tensor unwanted = ctx_->pinned({64});
    ctx_->copy(zeros, unwanted);
  }
  Tensor next = ctx_->pinned({64});
  for (float& v : next.f32()) v = 7.0f;
  ctx_->synchronise();
  EXPECT_THAT(next.f32(), Each(7.0f));
}

TEST_F(LateStream, PinnedMemoryIsUsedAgainOnceTheStreamWasWaitedFor) {
  const void* first = nullptr;
  {
    const Tensor t = ctx_->pinned({64});
    first = t.data();
  }
  EXPECT_NE(ctx_->pinned({64}).data(), first);
  ctx_->synchronise();
  const Tensor one = ctx_->pinned({64}), two = ctx_->pinned({64});
  EXPECT_TRUE(one.data() == first || two.data() == first);
}

}  // namespace
}  // namespace sutura::testing
