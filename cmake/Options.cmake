# Language level, build type, warnings, sanitizers and build speed.
option(TTSFT_TORCH "Build everything that needs LibTorch (off: only the tier above it, for sanitizers)" ON)
option(TTSFT_TESTS "Build the tests" ON)
option(TTSFT_WERROR "Treat warnings in our own code as errors" ON)
set(TTSFT_SANITIZE "" CACHE STRING "Sanitizers for our own code, e.g. address,undefined")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # A precompiled header is only cached when ccache may trust its time stamps.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

# Warnings apply to our own targets only; library headers come in as SYSTEM.
# -Wrestrict is off: GCC 12 reports it falsely for std::string concatenation (GCC bug 105651).
add_library(ttsft_options INTERFACE)
target_compile_options(ttsft_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
  -Wno-missing-field-initializers $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<BOOL:${TTSFT_WERROR}>:-Werror>)
if(TTSFT_SANITIZE)
  target_compile_options(ttsft_options INTERFACE -fsanitize=${TTSFT_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer -g)
  target_link_options(ttsft_options INTERFACE -fsanitize=${TTSFT_SANITIZE})
endif()
