#pragma once
#include <string_view>
#include <utility>

namespace sutura {

/// Instruction sets the own vector loops are compiled for. The results are the same bits on each: loops add in the same
/// order and never contract a multiply and an add.
enum class Isa { kBaseline, kAvx2, kAvx512 };

/// The widest of the three that this CPU and its operating system run.
Isa widest_isa();
/// "x86-64", "avx2", "avx512": for reports.
std::string_view name(Isa isa);

namespace isa_detail {
template <class Kernel, class... Args>
__attribute__((noinline)) void run_baseline(Args... args) {
  Kernel::run(args...);
}
template <class Kernel, class... Args>
__attribute__((noinline, target("avx2"))) void run_avx2(Args... args) {
  Kernel::run(args...);
}
template <class Kernel, class... Args>
__attribute__((noinline, target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512"))) void run_avx512(Args... args) {
  Kernel::run(args...);
}
}  // namespace isa_detail

/// Calls Kernel::run(args...) compiled for `isa`. `run` must be static and SUTURA_INLINE, and so must all it calls:
/// code that is not inlined keeps the baseline instruction set.
template <class Kernel, class... Args>
void dispatch(Isa isa, Args... args) {
  switch (isa) {
    case Isa::kAvx512: return isa_detail::run_avx512<Kernel>(args...);
    case Isa::kAvx2: return isa_detail::run_avx2<Kernel>(args...);
    case Isa::kBaseline: return isa_detail::run_baseline<Kernel>(args...);
  }
}

}  // namespace sutura

#define SUTURA_INLINE inline __attribute__((always_inline))
