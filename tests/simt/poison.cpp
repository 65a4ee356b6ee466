#include "poison.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace sutura::executor {

#if defined(__SANITIZE_ADDRESS__)
void close_band(unsigned char* from, unsigned char* to) { __asan_poison_memory_region(from, static_cast<std::size_t>(to - from)); }
void open_band(unsigned char* from, unsigned char* to) { __asan_unpoison_memory_region(from, static_cast<std::size_t>(to - from)); }
bool is_whole(const unsigned char*, const unsigned char*) { return true; }
#else
void close_band(unsigned char* from, unsigned char* to) {
  for (; from < to; ++from) *from = canary(from);
}
void open_band(unsigned char*, unsigned char*) {}
bool is_whole(const unsigned char* from, const unsigned char* to) {
  for (; from < to; ++from)
    if (*from != canary(from)) return false;
  return true;
}
#endif

}  // namespace sutura::executor
