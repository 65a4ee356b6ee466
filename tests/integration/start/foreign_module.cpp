// Two libraries that are not this build's cudnn module: one says that it is a module, of another layout; one says nothing.
#include <array>
#include <cstddef>

#if defined(OTHER_BUILD)
namespace {
struct Module {
  std::array<std::size_t, 5> layout{1, 2, 3, 4, 5};
  void* versions = nullptr;
  void* table = nullptr;
};
}  // namespace
extern "C" const void* sutura_cudnn_module() {
  static const Module module;
  return &module;
}
#else
extern "C" int something_else() { return 1; }
#endif
