// The executor's runtime refuses what CUDA refuses, and fails as a device fails.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "executor.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_runtime.h"
#include "runtimes.h"

namespace sutura::testing {
namespace {

using ::testing::HasSubstr;

void add_kernel(float* to, float value) { to[threadIdx.x] += value; }

class SimtRuntime : public ::testing::Test {
 protected:
  void SetUp() override {
    stream_ = r_.create_stream();
    memory_ = static_cast<float*>(r_.allocate(32 * sizeof(float)));
    pinned_ = static_cast<float*>(r_.allocate_pinned(32 * sizeof(float)));
    r_.fill(stream_, memory_, 0, kBytes);
  }
  void TearDown() override {
    simt::plant_kernel_failure(-1);
    simt::set_memory_limit(std::size_t{4} << 30);
    r_.release(memory_);
    r_.release_pinned(pinned_);
    r_.destroy_stream(stream_);
  }

  void add(float value) { SUTURA_LAUNCH(add_kernel, dim3(1), 32, 0, stream_, memory_, value); }
  float first() {
    float v = 0;
    r_.copy_to_host(stream_, &v, memory_, sizeof v);
    return v;
  }
  template <class F>
  static std::string refusal(F f, Errc code = Errc::kDevice) {
    try {
      f();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code);
      return e.what();
    }
    return "not refused";
  }

  static constexpr std::size_t kBytes = 32 * sizeof(float);
  const DeviceRuntime& r_ = simt_runtime();
  Stream stream_ = nullptr;
  float *memory_ = nullptr, *pinned_ = nullptr;
};

TEST_F(SimtRuntime, AReplayRepeatsTheWorkWithTheArgumentsOfItsCapture) {
  float value = 2.0f;
  r_.begin_capture(stream_);
  add(value);
  r_.copy_to_host(stream_, pinned_, memory_, kBytes);
  GraphExec* graph = r_.end_capture(stream_);
  EXPECT_EQ(first(), 0.0f);  // nothing has run
  value = 100.0f;
  for (int i = 1; i <= 3; ++i) {
    r_.replay(graph, stream_);
    EXPECT_EQ(pinned_[31], 2.0f * static_cast<float>(i));
  }
  r_.destroy_graph(graph);
}

TEST_F(SimtRuntime, ACaptureRefusesWaitsAndUnpinnedMemoryAndIsLost) {
  float host[32] = {};
  const Event outside = r_.create_event();
  r_.record(outside, stream_);
  const std::function<void()> refused[] = {
      [&] { r_.synchronise(stream_); },
      [&] { r_.copy_to_host(stream_, host, memory_, kBytes); },
      [&] { r_.copy_to_device(stream_, memory_, host, kBytes); },
      [&] { r_.begin_capture(stream_); },
      [&] { r_.wait(stream_, outside); },
  };
  for (const auto& f : refused) {
    r_.begin_capture(stream_);
    EXPECT_THAT(refusal(f), HasSubstr("while a stream is captured"));
    EXPECT_THAT(refusal([&] { r_.end_capture(stream_); }), HasSubstr("was lost"));
    add(1.0f);  // the stream goes on
    r_.synchronise(stream_);
  }
  EXPECT_EQ(first(), static_cast<float>(std::size(refused)));
  r_.destroy_event(outside);
}

TEST_F(SimtRuntime, ACaptureAllowsAllocationsAndPinnedCopies) {
  r_.begin_capture(stream_);
  void* more = r_.allocate(100);
  r_.copy_to_device(stream_, memory_, pinned_, kBytes);
  GraphExec* graph = r_.end_capture(stream_);
  for (int i = 0; i < 32; ++i) pinned_[i] = 5.0f;
  r_.replay(graph, stream_);
  EXPECT_EQ(first(), 5.0f);
  r_.destroy_graph(graph);
  r_.release(more);
}

TEST_F(SimtRuntime, AnAbandonedCaptureLeavesNothing) {
  r_.begin_capture(stream_);
  add(1.0f);
  r_.abandon_capture(stream_);
  EXPECT_EQ(first(), 0.0f);
  EXPECT_THAT(refusal([&] { r_.end_capture(stream_); }), HasSubstr("not begun"));
}

TEST_F(SimtRuntime, CapturedEventsTellNoTime) {
  const Event begin = r_.create_event(), end = r_.create_event();
  EXPECT_THAT(refusal([&] { r_.milliseconds_between(begin, end); }), HasSubstr("not recorded"));
  r_.record(begin, stream_);
  r_.record(end, stream_);
  EXPECT_GE(r_.milliseconds_between(begin, end), 0.0f);
  r_.begin_capture(stream_);
  r_.record(end, stream_);
  GraphExec* graph = r_.end_capture(stream_);
  EXPECT_THAT(refusal([&] { r_.milliseconds_between(begin, end); }), HasSubstr("not recorded"));
  EXPECT_THAT(refusal([&] { r_.wait_on_host(end); }), HasSubstr("was captured"));
  r_.destroy_graph(graph);
  r_.destroy_event(begin);
  r_.destroy_event(end);
}

TEST_F(SimtRuntime, MemoryEnds) {
  const std::size_t used = simt::device_bytes();
  simt::set_memory_limit(used + 1000);
  EXPECT_EQ(r_.free_bytes(), 1000u);
  void* most = r_.allocate(900);
  EXPECT_THAT(refusal([&] { r_.allocate(101); }, Errc::kResources), HasSubstr("out of memory"));
  void* rest = r_.allocate(100);
  r_.release(most);
  r_.release(rest);
  EXPECT_EQ(simt::device_bytes(), used);
}

TEST_F(SimtRuntime, AFailedKernelFailsItsStreamFromThenOn) {
  simt::plant_kernel_failure(2);
  add(1.0f);
  add(1.0f);
  EXPECT_EQ(first(), 2.0f);
  add(1.0f);  // as on a GPU, the launch itself says nothing
  EXPECT_THAT(refusal([&] { r_.synchronise(stream_); }), HasSubstr("planted in kernel add_kernel"));
  EXPECT_THAT(refusal([&] { add(1.0f); }), HasSubstr("planted in kernel add_kernel"));
  EXPECT_THAT(refusal([&] { first(); }), HasSubstr("planted in kernel add_kernel"));
  EXPECT_EQ(memory_[0], 2.0f);  // nothing ran after it

  const Stream other = r_.create_stream();  // another session's
  SUTURA_LAUNCH(add_kernel, dim3(1), 32, 0, other, memory_, 1.0f);
  r_.synchronise(other);
  EXPECT_EQ(memory_[0], 3.0f);
  r_.destroy_stream(other);
}

TEST_F(SimtRuntime, AFailureInsideAReplaySurfacesAtTheNextCall) {
  r_.begin_capture(stream_);
  add(1.0f);
  add(1.0f);
  GraphExec* graph = r_.end_capture(stream_);
  simt::plant_kernel_failure(1);
  r_.replay(graph, stream_);
  EXPECT_THAT(refusal([&] { r_.replay(graph, stream_); }), HasSubstr("planted"));
  EXPECT_EQ(memory_[0], 1.0f);
  r_.destroy_graph(graph);
}

void diverges_kernel(float*) {
  if (threadIdx.x == 0) block_sync();
}

TEST_F(SimtRuntime, AKernelThatGoesWrongThrowsAtItsLaunchAndFailsItsStream) {
  EXPECT_THAT(refusal([&] { SUTURA_LAUNCH(diverges_kernel, dim3(1), 32, 0, stream_, memory_); }), HasSubstr("1 of 32 threads"));
  EXPECT_THAT(refusal([&] { r_.synchronise(stream_); }), HasSubstr("an earlier kernel failed"));
}

TEST_F(SimtRuntime, ARefusedLaunchHarmsNothing) {
  EXPECT_THAT(refusal([&] { SUTURA_LAUNCH(add_kernel, dim3(1), 31, 0, stream_, memory_, 1.0f); }), HasSubstr("31 threads"));
  r_.begin_capture(stream_);
  EXPECT_THAT(refusal([&] { SUTURA_LAUNCH(add_kernel, dim3(0), 32, 0, stream_, memory_, 1.0f); }), HasSubstr("a grid of 0"));
  r_.abandon_capture(stream_);
  add(1.0f);
  EXPECT_EQ(first(), 1.0f);
}

TEST_F(SimtRuntime, CopiesStayInsideAllocations) {
  float host[64] = {};
  EXPECT_THAT(refusal([&] { r_.copy_to_device(stream_, memory_, host, kBytes + 4); }), HasSubstr("not inside an allocation"));
  EXPECT_THAT(refusal([&] { r_.copy_to_host(stream_, host, memory_ + 1, kBytes); }), HasSubstr("not inside an allocation"));
  EXPECT_THAT(refusal([&] { r_.fill(stream_, host, 0, 4); }), HasSubstr("not inside an allocation"));
  EXPECT_THAT(refusal([&] { r_.copy_to_device(stream_, memory_, memory_, kBytes); }), HasSubstr("device memory where host memory"));
}

#if !defined(__SANITIZE_ADDRESS__)
TEST_F(SimtRuntime, AWriteJustOutsideAnAllocationIsFound) {
  volatile float* to = memory_;
  const float before = to[32];
  to[32] = 1.0f;
  EXPECT_THAT(refusal([&] { r_.synchronise(stream_); }), HasSubstr("just outside an allocation"));
  to[32] = before;
}
#endif

TEST_F(SimtRuntime, NewMemoryIsNotANumber) {
  auto* fresh = static_cast<float*>(r_.allocate(40));
  for (int i = 0; i < 10; ++i) EXPECT_NE(fresh[i], fresh[i]);
  r_.release(fresh);
}

}  // namespace
}  // namespace sutura::testing
