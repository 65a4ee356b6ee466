// What the executor refuses, and how the order of threads is drawn.
#include "executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/cuda/launch.h"
#include "runtimes.h"

namespace sutura::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Runs `body` as every thread of a kernel.
void run(std::function<void()> body, unsigned threads = 64, std::size_t shared_bytes = 0, dim3 grid = dim3(1)) {
  simt::run_now("kernel_under_test", grid, threads, shared_bytes, body);
}
/// The text of the error that `f` throws, which must be kDevice. A death test where the sanitizer is who refuses.
template <class F>
std::string refusal(F f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kDevice);
    return e.what();
  }
  return "not refused";
}
#define SUTURA_EXPECT_REFUSED(statement, text) EXPECT_THAT(refusal([&] { statement; }), HasSubstr(text))

unsigned thread() { return threadIdx.x; }

TEST(Executor, EveryThreadOfEveryBlockRunsOnce) {
  std::multiset<std::vector<unsigned>> seen, expected;
  run([&] { seen.insert({blockIdx.x, blockIdx.y, blockIdx.z, thread()}); }, 96, 0, dim3(5, 3, 2));
  for (unsigned x = 0; x < 5; ++x)
    for (unsigned y = 0; y < 3; ++y)
      for (unsigned z = 0; z < 2; ++z)
        for (unsigned t = 0; t < 96; ++t) expected.insert({x, y, z, t});
  EXPECT_EQ(seen, expected);
}

TEST(Executor, KernelsSeeTheirShape) {
  run(
      [] {
        EXPECT_EQ(blockDim.x, 32u);
        EXPECT_EQ(gridDim.x, 2u);
        EXPECT_EQ(gridDim.y, 3u);
        EXPECT_EQ(lane_id(), thread() % 32);
      },
      32, 0, dim3(2, 3));
}

std::vector<unsigned> order_of_threads(unsigned seed) {
  std::vector<unsigned> order;
  simt::seed_schedule(seed);
  run([&] { order.push_back(blockIdx.x * 64 + thread()); }, 64, 0, dim3(7));
  return order;
}

TEST(Executor, TheOrderFollowsTheSeed) {
  EXPECT_EQ(order_of_threads(3), order_of_threads(3));
  std::set<std::vector<unsigned>> orders;
  std::set<unsigned> first_blocks, first_threads;
  for (unsigned seed = 1; seed <= 40; ++seed) {
    orders.insert(order_of_threads(seed));
    first_blocks.insert(order_of_threads(seed)[0] / 64);
    first_threads.insert(order_of_threads(seed)[0] % 64);
  }
  EXPECT_EQ(orders.size(), 40u);
  EXPECT_EQ(first_blocks.size(), 7u);
  EXPECT_GT(first_threads.size(), 20u);
}

/// Each of two warps comes first between barriers, with some seed: a write that needs a barrier is missed with some other.
TEST(Executor, EitherWarpMayRunFirst) {
  std::set<unsigned> firsts;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    simt::seed_schedule(seed);
    unsigned first = 2;
    run([&] {
      block_sync();
      if (first == 2) first = thread() / 32;
    });
    firsts.insert(first);
  }
  EXPECT_EQ(firsts, (std::set<unsigned>{0, 1}));
}

TEST(Executor, SharedMemoryBeginsAsPoisonInEveryBlock) {
  run(
      [] {
        SUTURA_SHARED(std::uint32_t, fixed, 64);
        SUTURA_DYNAMIC_SHARED(std::uint32_t, dynamic);
        EXPECT_EQ(fixed[thread()], 0xffffffffu);
        EXPECT_EQ(dynamic[thread()], 0xffffffffu);
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(dynamic) % 128, 0u);
        fixed[thread()] = dynamic[thread()] = 1;
      },
      64, 256, dim3(3));
}

TEST(Executor, RefusesLaunchesThatAGpuRefuses) {
  const auto nothing = [] {};
  SUTURA_EXPECT_REFUSED(run(nothing, 0), "0 threads");
  SUTURA_EXPECT_REFUSED(run(nothing, 33), "33 threads");
  SUTURA_EXPECT_REFUSED(run(nothing, 1056), "1056 threads");
  SUTURA_EXPECT_REFUSED(run(nothing, 32, 0, dim3(0)), "a grid of 0 x 1 x 1");
  SUTURA_EXPECT_REFUSED(run(nothing, 32, 0, dim3(0x80000000u)), "a grid of");
  SUTURA_EXPECT_REFUSED(run(nothing, 32, 0, dim3(1, 65536)), "a grid of 1 x 65536 x 1");
  SUTURA_EXPECT_REFUSED(run(nothing, 32, 0, dim3(1, 1, 65536)), "a grid of 1 x 1 x 65536");
  SUTURA_EXPECT_REFUSED(run(nothing, 32, 163 * 1024 + 1), "dynamic shared memory");
  run(nothing, 1024, 163 * 1024, dim3(1, 2, 2));
}

TEST(Executor, RefusesTooMuchStaticSharedMemory) {
  SUTURA_EXPECT_REFUSED(run([] {
                          SUTURA_SHARED(float, large, 12 * 1024 + 1);
                          large[0] = 0;
                        }),
                        "static shared memory");
  SUTURA_EXPECT_REFUSED(run(
                            [] {
                              SUTURA_SHARED(float, some, 1024);
                              some[0] = 0;
                            },
                            32, 160 * 1024),
                        "bytes of shared memory");
  run(
      [] {
        SUTURA_SHARED(float, large, 12 * 1024);
        large[0] = 0;
      },
      32, 115 * 1024);
}

TEST(Executor, RefusesBarriersThatNotAllThreadsReach) {
  SUTURA_EXPECT_REFUSED(run([] {
                          if (thread() < 40) block_sync();
                        }),
                        "reached by 40 of 64 threads");
  SUTURA_EXPECT_REFUSED(run([] {
                          if (thread() == 5) block_any(true);
                        }),
                        "reached by 1 of 64 threads");
  const auto two_places = [] {
    if (thread() < 32) {
      block_sync();
    } else {
      block_sync();
    }
  };
  SUTURA_EXPECT_REFUSED(run(two_places), "in different places");
}

TEST(Executor, RefusesCollectivesOfPartOfAWarp) {
  SUTURA_EXPECT_REFUSED(run([] {
                          if (thread() % 2 == 0) warp_sync();
                        }),
                        "reached by 16 of 32 lanes");
  SUTURA_EXPECT_REFUSED(run([] {
                          if (lane_id() < 31) warp_shuffle(1.0f, 0);
                        }),
                        "reached by 31 of 32 lanes");
  SUTURA_EXPECT_REFUSED(run([] {
                          if (lane_id() == 0) warp_ballot(true);
                        }),
                        "reached by 1 of 32 lanes");
  const auto two_places = [] {
    if (lane_id() < 16) {
      warp_shuffle_xor(1, 1);
    } else {
      warp_shuffle_xor(1, 1);
    }
  };
  SUTURA_EXPECT_REFUSED(run(two_places), "in different places");
}

TEST(Executor, SeesDeadlocks) {
  const auto deadlock = [] {
    if (lane_id() < 16) {
      block_sync();
    } else {
      warp_sync();
    }
  };
  EXPECT_THAT(refusal([&] { run(deadlock); }), AllOf(HasSubstr("reached by 16 of 32 lanes"), HasSubstr("16 wait at a barrier")));
}

TEST(Executor, AnErrorNamesKernelBlockAndSeed) {
  simt::seed_schedule(77);
  const auto fails = [] {
    if (blockIdx.x == 2 && thread() == 7) block_sync();
  };
  EXPECT_THAT(refusal([&] { run(fails, 64, 0, dim3(4, 1)); }),
              AllOf(HasSubstr("kernel_under_test"), HasSubstr("block 2 0 0"), HasSubstr("SUTURA_SIMT_SEED=77")));
}

TEST(Executor, AnExceptionInAThreadLeavesTheLaunchOnly) {
  for (int i = 0; i < 3; ++i) {
    const auto fails = [] {
      block_sync();
      if (thread() == 9) throw Error(Errc::kDevice, "from a thread");
      block_sync();
    };
    SUTURA_EXPECT_REFUSED(run(fails), "from a thread");
    int threads = 0;
    run([&] {
      block_sync();
      ++threads;
    });  // the next launch finds everything in order
    EXPECT_EQ(threads, 64);
  }
  EXPECT_THROW(run([] { throw std::bad_alloc(); }), std::bad_alloc);
}

class AsyncCopy : public ::testing::Test {
 protected:
  DeviceBuffer<float> values_{simt_runtime(), std::vector<float>(256, 3.0f)};
  const float* from_ = values_.data();
};

TEST_F(AsyncCopy, LandsAtTheWaitThatCoversItAndNoSooner) {
  run(
      [this] {
        SUTURA_SHARED(float4, to, 64);
        float4& first = to[thread()];
        first = {1, 1, 1, 1};
        copy_async_16(&first, from_);
        EXPECT_NE(first.x, first.x);  // neither the old value nor the new one
        copy_async_commit();
        copy_async_wait<1>();
        EXPECT_NE(first.x, first.x);
        copy_async_wait<0>();
        EXPECT_EQ(first.x, 3.0f);
        EXPECT_EQ(first.w, 3.0f);
      },
      32);
}

TEST_F(AsyncCopy, GroupsLandInOrder) {
  run(
      [this] {
        SUTURA_SHARED(float4, to, 96);
        const float4* mine = &to[3 * thread()];
        for (unsigned i = 0; i < 3; ++i) {
          copy_async_16(&to[3 * thread() + i], from_ + 4 * i, i != 1);
          copy_async_commit();
        }
        copy_async_wait<2>();
        EXPECT_EQ(mine[0].x, 3.0f);
        EXPECT_NE(mine[1].x, mine[1].x);
        copy_async_wait<1>();
        EXPECT_EQ(mine[1].w, 0.0f);
        EXPECT_NE(mine[2].x, mine[2].x);
        copy_async_wait<0>();
        EXPECT_EQ(mine[2].w, 3.0f);
      },
      32);
}

TEST_F(AsyncCopy, RefusesWhatTheHardwareCannot) {
  const auto copy = [&](int to_offset, const void* from) {
    run([&] {
      SUTURA_SHARED(float4, to, 8);
      copy_async_16(reinterpret_cast<char*>(to) + to_offset, from);
      copy_async_commit();
      copy_async_wait<0>();
    });
  };
  copy(16, from_);
  float on_host[8] = {};
  SUTURA_EXPECT_REFUSED(copy(4, from_), "not aligned");
  SUTURA_EXPECT_REFUSED(copy(0, from_ + 1), "not aligned");
  SUTURA_EXPECT_REFUSED(copy(128, from_), "does not go to one shared array");
  SUTURA_EXPECT_REFUSED(copy(0, from_ + 256), "not come from inside one allocation");
  SUTURA_EXPECT_REFUSED(copy(0, reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(on_host) & ~std::uintptr_t{15})),
                        "not come from inside one allocation");
  const auto to_global = [&] { copy_async_16(values_.data(), from_ + 4); };
  SUTURA_EXPECT_REFUSED(run(to_global), "does not go to one shared array");
}

TEST_F(AsyncCopy, RefusesAThreadThatEndsBeforeItsCopies) {
  const auto never_waits = [&] {
    SUTURA_SHARED(float4, to, 64);
    copy_async_16(&to[thread()], from_);
    copy_async_commit();
    copy_async_wait<1>();
  };
  SUTURA_EXPECT_REFUSED(run(never_waits), "did not wait for");
}

TEST(Executor, RefusesRowsThatLoadMatrixCannotRead) {
  const auto load = [](unsigned offset) {
    run([=] {
      SUTURA_SHARED(uint4, rows, 64);
      rows[thread()] = {};
      block_sync();
      std::uint32_t r[4];
      load_matrix_x4(r, reinterpret_cast<char*>(&rows[thread()]) + offset);
    });
  };
  load(0);
  SUTURA_EXPECT_REFUSED(load(8), "not 16-byte aligned");
  SUTURA_EXPECT_REFUSED(load(16), "does not lie in one shared array");
}

TEST(Executor, StaticArraysAreAlignedAsDeclaredAndNoBetter) {
  run([] {
    SUTURA_SHARED(std::uint16_t, halves, 100);
    SUTURA_SHARED(float, words, 100);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&halves[0]) % 4, 2u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&words[0]) % 8, 4u);
  });
}

/// Who writes or reads outside an array is named by the address sanitizer; without it, who has written is found at the block's end.
void write_outside(int index) {
  run([=] {
    SUTURA_SHARED(float, array, 64);
    SUTURA_SHARED(float, other, 64);
    array[thread()] = other[thread()] = 1.0f;
    block_sync();
    volatile float* to = array;
    if (thread() == 0) to[index] = 2.0f;
  });
}
void write_outside_dynamic(int index) {
  run(
      [=] {
        SUTURA_DYNAMIC_SHARED(float, array);
        volatile float* to = array;
        if (thread() == 0) to[index] = 2.0f;
      },
      64, 256);
}

TEST(Executor, FindsWritesOutsideSharedArrays) {
#if defined(__SANITIZE_ADDRESS__)
  EXPECT_DEATH(write_outside(64), "AddressSanitizer");
  EXPECT_DEATH(write_outside(-2), "AddressSanitizer");  // -1 shares the sanitizer's 8 bytes with the array, aligned to 4
  EXPECT_DEATH(write_outside_dynamic(64), "AddressSanitizer");
#else
  SUTURA_EXPECT_REFUSED(write_outside(64), "wrote outside its shared arrays");
  SUTURA_EXPECT_REFUSED(write_outside(-1), "wrote outside its shared arrays");
  SUTURA_EXPECT_REFUSED(write_outside_dynamic(64), "wrote outside its shared arrays");
#endif
  write_outside(63);
  write_outside_dynamic(0);
}

#if defined(__SANITIZE_ADDRESS__)
TEST(Executor, TheSanitizerSeesReadsOutsideDeviceMemory) {
  const DeviceBuffer<float> values(simt_runtime(), std::vector<float>(100));
  float sum = 0;
  EXPECT_DEATH(run([&] { sum += static_cast<const volatile float*>(values.data())[100 + thread() % 2]; }), "AddressSanitizer");
}
TEST(Executor, TheSanitizerSeesLocalArraysOfAFiber) {
  EXPECT_DEATH(run([] {
                 float local[4];
                 block_sync();
                 void* (*volatile set)(void*, int, std::size_t) =
                     std::memset;  // unknown when compiled: not for another sanitizer
                 set(local, 0, sizeof local + 1);
               }),
               "AddressSanitizer");
}
#endif

}  // namespace
}  // namespace sutura::testing
