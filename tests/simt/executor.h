#pragma once
#include <cstdint>
#include <functional>

#include "kernels/cuda/simt.h"
#include "kernels/device_ops.h"

namespace sutura::simt {

/// The native backend built by g++: its kernels run on the host, thread by thread.
const DeviceOps& table();
/// Seeds the order in which warps and lanes run.
void seed_schedule(std::uint32_t seed);
/// Runs a kernel's threads now, whatever is being captured.
void run_now(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes, const std::function<void()>& body);

}  // namespace sutura::simt
