#pragma once
#include <cstdint>
#include <functional>

#include "kernels/cuda/simt.h"
#include "kernels/device_ops.h"

namespace sutura::simt {

/// The native backend built by g++: its kernels run on the host, thread by thread.
const DeviceOps& table();
/// Seeds the order in which blocks, warps and lanes of this host thread run. The process starts from first_seed():
/// SUTURA_SIMT_SEED, else 1.
void seed_schedule(std::uint32_t seed);
std::uint32_t first_seed();

/// Throws kDevice if a GPU of compute capability 8.0 would refuse the launch.
void check_launch(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes);
/// Runs a kernel's threads now, whatever is being captured. Errors: kDevice, as simt::run.
void run_now(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes, const std::function<void()>& body);

/// Streams that are created from now on do their work at times drawn from `seed` (StreamQueue), so that a missing wait between two
/// streams is seen. 0: work is done when it is issued, as before.
void work_late(std::uint32_t seed);

/// For tests of what happens when a device fails. Device memory of the process is bounded from now on; what is allocated now.
void set_memory_limit(std::size_t bytes);
std::size_t device_bytes();
/// The next launch but `launches` fails: its stream throws kDevice from the following call on, as a GPU does. -1: none.
void plant_kernel_failure(int launches);

}  // namespace sutura::simt
