#pragma once
#include <cstdint>

namespace sutura::executor {

/// Every byte of memory that nobody has written yet: read as a float of any type, a NaN.
constexpr int kPoison = 0xff;
/// The byte at p in the bands around allocations and shared arrays. Such a value is a NaN too, but no value that is computed.
inline unsigned char canary(const unsigned char* p) { return reinterpret_cast<std::uintptr_t>(p) % 2 == 0 ? 0xf5 : 0x7f; }
/// Closes [from, to): nobody may read or write there.
void close_band(unsigned char* from, unsigned char* to);
void open_band(unsigned char* from, unsigned char* to);
/// True if nobody has written to a closed band. The address sanitizer reports at once who reads or writes there.
bool is_whole(const unsigned char* from, const unsigned char* to);

}  // namespace sutura::executor
