#pragma once
#include <memory>
#include <string>

#include "kernels/context.h"

/// What Context needs of oneDNN, so that one file (onednn_engine.cpp) can stand for the library's presence.
namespace sutura::onednn {

std::unique_ptr<Engine, void (*)(Engine*)> make_engine(int threads);
/// True where oneDNN may use AVX512-BF16.
bool allows_bf16();
std::string version();  ///< "onednn 2.6.3"
/// The instruction set it will use: the CPU's, or less where ONEDNN_MAX_CPU_ISA says so.
std::string isa();

}  // namespace sutura::onednn
