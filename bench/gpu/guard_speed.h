#pragma once
#include "bench/gpu/measure.h"

namespace sutura::bench {

/// Values a second that the guard releases (clip, integer norm check, quantise, ChaCha20 noise, pack into pinned memory), on the
/// cut of 28-pixel pictures at batch 128, once with the result left on the device and once with the copy to the host; and that the
/// server takes back (dequantise).
void measure_guard(Report& report);

}  // namespace sutura::bench
