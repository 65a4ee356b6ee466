# sutura_library(NAME DEPS...): a static library of every .cpp below the current folder.
# Subfolders with a CMakeLists.txt of their own are libraries of their own.
function(sutura_flags target)
  # -ffp-contract=off everywhere: the reference backend promises the same bits on every x86-64.
  target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-psabi -ffp-contract=off>)
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
  if(SUTURA_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=${SUTURA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${SUTURA_SANITIZE})
  endif()
  if(SUTURA_FAILPOINTS)
    target_compile_definitions(${target} PUBLIC SUTURA_FAILPOINTS=1)
  endif()
endfunction()

# Loops over numbers: optimised in sanitizer builds too, where everything else is not (half the time of compiling goes).
function(sutura_numeric target)
  if(SUTURA_SANITIZE)
    target_compile_options(${target} PRIVATE -O1)
  endif()
endfunction()

# Tests are compiled once and run for seconds.
function(sutura_test_flags target)
  sutura_flags(${target})
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(${target} PRIVATE -O1)
  endif()
endfunction()

function(sutura_library name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "_main\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "/cuda/")  # one build per device: kernels/CMakeLists.txt
  if(SUTURA_LEFT_OUT)
    list(FILTER sources EXCLUDE REGEX "${SUTURA_LEFT_OUT}")
  endif()
  add_library(${name} STATIC ${sources})
  sutura_flags(${name})
  target_link_libraries(${name} PUBLIC ${ARGN})
endfunction()

function(sutura_program name source)
  add_executable(${name} ${source})
  sutura_flags(${name})
  target_link_libraries(${name} PRIVATE ${ARGN})
endfunction()

# sutura_test(NAME TIER DEPS...): every *_test.cpp of the current folder in one program, labelled with its tier.
function(sutura_test name tier)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*_test.cpp)
  add_executable(${name} ${sources})
  sutura_test_flags(${name})
  target_link_libraries(${name} PRIVATE ${ARGN} GTest::gtest_main GTest::gmock Threads::Threads)
  target_compile_definitions(${name} PRIVATE SUTURA_SOURCE_DIR="${CMAKE_SOURCE_DIR}" SUTURA_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
  if(NOT TARGET fast_tests)
    add_custom_target(fast_tests)  # what a sanitizer build needs
  endif()
  if(tier STREQUAL "fast")
    add_dependencies(fast_tests ${name})
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${tier} ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()
