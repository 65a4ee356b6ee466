# The build of scripts/gpu_check (SUTURA_GPU_CHECK): core, kernels, models and their device tests, on a machine with a CUDA
# toolkit and nothing of Debian's. No network is used.
if(NOT SUTURA_WITH_CUDA)
  message(FATAL_ERROR "SUTURA_GPU_CHECK needs a CUDA toolkit: set CUDACXX")
endif()
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED)  # the compiler's own

# What needs libsodium, a JSON library or oneDNN stays out: keys from the operating system and derived ones, safetensors, the onednn
# backend. BLAKE2b is bench/gpu/blake2b.cpp. kernels/ops/*_impl.h declare two
# implementations of every op for the CPU; here the names of oneDNN's stand for the reference's, and a Context with the onednn
# backend is refused (bench/gpu/without_onednn.cpp).
set(SUTURA_LEFT_OUT "/blake2b\\.cpp$|/chacha_key\\.cpp$|/safetensors\\.cpp$|/onednn_engine\\.cpp$|_onednn\\.cpp$")
foreach(absent PkgConfig::sodium nlohmann_json::nlohmann_json)
  add_library(${absent} INTERFACE IMPORTED)
endforeach()
set(DNNL_LIBRARY "")
set(DNNL_INCLUDE_DIR "")

# GoogleTest from its sources: Debian's package googletest, or a copy that was carried here.
set(SUTURA_GOOGLETEST /usr/src/googletest CACHE PATH "GoogleTest's source tree")
if(NOT EXISTS ${SUTURA_GOOGLETEST}/CMakeLists.txt)
  message(FATAL_ERROR "no GoogleTest sources in ${SUTURA_GOOGLETEST}: set SUTURA_GOOGLETEST")
endif()
set(INSTALL_GTEST OFF CACHE BOOL "" FORCE)
add_subdirectory(${SUTURA_GOOGLETEST} ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL)
foreach(library gtest gtest_main gmock)
  if(NOT TARGET GTest::${library})
    add_library(GTest::${library} ALIAS ${library})
  endif()
endforeach()
