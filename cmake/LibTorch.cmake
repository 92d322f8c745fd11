# torch::cpu, an imported target made from LibTorch's headers and libraries.
#
# The wheel's own TorchConfig.cmake stops when no CUDA toolkit is installed, and a user's machine need not have one.
# We link to libtorch_cpu and libc10 only; libtorch_cuda comes with libttsft_cuda.so (CudaModule.cmake), which is opened
# when a CUDA device is asked for, so a CPU run neither loads nor needs the 3 GB of CUDA libraries.
#
# Looked for, in this order: TORCH_DIR (variable or environment), CMAKE_PREFIX_PATH, .deps/libtorch (made by tools/setup).
set(TORCH_DIR "$ENV{TORCH_DIR}" CACHE PATH "LibTorch, or the torch folder of an unpacked wheel")
set(torch_header include/torch/csrc/api/include/torch/torch.h)
# Not cached, so that another TORCH_DIR is honoured at once.
if(TORCH_DIR)
  find_path(TORCH_ROOT ${torch_header} PATHS ${TORCH_DIR} PATH_SUFFIXES torch libtorch NO_CACHE NO_DEFAULT_PATH)
  if(NOT TORCH_ROOT)
    message(FATAL_ERROR "No LibTorch at TORCH_DIR=${TORCH_DIR}; name the folder that holds include/torch")
  endif()
endif()
# A hint is tried after CMAKE_PREFIX_PATH and before the system's folders.
find_path(TORCH_ROOT ${torch_header} HINTS ${CMAKE_SOURCE_DIR}/.deps/libtorch PATH_SUFFIXES torch libtorch NO_CACHE)
if(NOT TORCH_ROOT)
  message(FATAL_ERROR "LibTorch not found. Run tools/setup, or name one: cmake -DTORCH_DIR=/path/to/libtorch")
endif()
string(REGEX REPLACE "/$" "" TORCH_ROOT ${TORCH_ROOT})
foreach(part MAJOR MINOR PATCH)
  file(STRINGS ${TORCH_ROOT}/include/torch/headeronly/version.h line REGEX "define TORCH_VERSION_${part} ")
  string(REGEX MATCH "[0-9]+" TORCH_VERSION_${part} "${line}")
endforeach()
set(TORCH_VERSION ${TORCH_VERSION_MAJOR}.${TORCH_VERSION_MINOR}.${TORCH_VERSION_PATCH})
message(STATUS "LibTorch ${TORCH_VERSION} at ${TORCH_ROOT}")
if(NOT TORCH_VERSION VERSION_GREATER_EQUAL 2.11 OR NOT TORCH_VERSION VERSION_LESS 2.12)
  message(WARNING "ttsft is tested with LibTorch 2.11, this is ${TORCH_VERSION}")
endif()

add_library(torch_cpu SHARED IMPORTED)
add_library(torch_c10 SHARED IMPORTED)
set_target_properties(torch_c10 PROPERTIES IMPORTED_LOCATION ${TORCH_ROOT}/lib/libc10.so)
set_target_properties(torch_cpu PROPERTIES IMPORTED_LOCATION ${TORCH_ROOT}/lib/libtorch_cpu.so)
add_library(torch_interface INTERFACE)
add_library(torch::cpu ALIAS torch_interface)
target_include_directories(torch_interface SYSTEM INTERFACE
  ${TORCH_ROOT}/include ${TORCH_ROOT}/include/torch/csrc/api/include)
target_link_libraries(torch_interface INTERFACE torch_cpu torch_c10)
# torch_cpu needs libcudart and libcupti of the wheels; it finds them by its own rpath.
target_link_options(torch_interface INTERFACE -Wl,--allow-shlib-undefined -Wl,--disable-new-dtags)

# One precompiled torch/torch.h for all targets: half a minute once, instead of that in every file.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/pch/pch.cpp CONTENT "// The precompiled header of every target that uses LibTorch.\n")
add_library(ttsft_torch_pch STATIC ${CMAKE_BINARY_DIR}/pch/pch.cpp)
target_link_libraries(ttsft_torch_pch PRIVATE torch::cpu ttsft_options)
# Without the time in it, ccache knows the header again.
target_compile_options(ttsft_torch_pch PRIVATE "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
target_precompile_headers(ttsft_torch_pch PRIVATE <torch/torch.h>)
