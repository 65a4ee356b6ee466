#pragma once

struct CUstream_st;  // CUDA's own names, so that cudaStream_t converts; no CUDA header is needed to pass one on
struct CUevent_st;

namespace sutura {
using Stream = CUstream_st*;
using Event = CUevent_st*;
}  // namespace sutura
