#pragma once
#include <cstdint>
#include <functional>

#include "kernels/cuda/simt.h"
#include "kernels/device_ops.h"

namespace sutura::simt {

/// The native backend built by g++: its kernels run on the host, thread by thread.
const DeviceOps& table();
/// Seeds the order in which blocks, warps and lanes of this host thread run.
void seed_schedule(std::uint32_t seed);
/// SUTURA_SIMT_SEED, else 1: what this process starts from.
std::uint32_t first_seed();
/// Runs a kernel's threads now, whatever is being captured. Errors: kDevice, as simt::run.
void run_now(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes, const std::function<void()>& body);

}  // namespace sutura::simt
