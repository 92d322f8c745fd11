# libttsft_cuda.so (src/cuda): what only libtorch_cuda.so exports. Opened at run time (src/nn/accelerator.cpp), so it is a
# MODULE that nothing links to. It needs CUDA's runtime headers and no compiler of CUDA's: those of the wheels that
# tools/setup fetches, else those of a toolkit. Without them ttsft is built all the same, and runs on the CPU.
if(NOT EXISTS ${TORCH_ROOT}/lib/libtorch_cuda.so)
  message(STATUS "Without CUDA: LibTorch has no libtorch_cuda.so")
  return()
endif()
file(GLOB wheel_headers ${TORCH_ROOT}/../nvidia/*/include)
set(places ${wheel_headers} $ENV{CUDA_HOME}/include /usr/local/cuda/include)
# Not cached, so that headers which tools/setup brings later are seen.
find_path(TTSFT_CUDA_RUNTIME cuda_runtime_api.h PATHS ${places} NO_CACHE NO_DEFAULT_PATH)
find_path(TTSFT_CUDA_CRT crt/host_defines.h PATHS ${places} NO_CACHE NO_DEFAULT_PATH)
if(NOT TTSFT_CUDA_RUNTIME OR NOT TTSFT_CUDA_CRT)
  message(STATUS "Without CUDA: no cuda_runtime_api.h and crt/host_defines.h; tools/setup fetches them")
  return()
endif()
message(STATUS "CUDA's headers at ${TTSFT_CUDA_RUNTIME}")

file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/cuda/*.cpp)
add_library(ttsft_cuda MODULE ${sources})
target_include_directories(ttsft_cuda PRIVATE ${CMAKE_SOURCE_DIR}/include)
target_include_directories(ttsft_cuda SYSTEM PRIVATE ${TTSFT_CUDA_RUNTIME} ${TTSFT_CUDA_CRT})
# Libraries by path: libtorch_cuda's own needs (cuBLAS, cuDNN) may come after the build.
target_link_libraries(ttsft_cuda PRIVATE ttsft_options torch::cpu ${TORCH_ROOT}/lib/libtorch_cuda.so
  ${TORCH_ROOT}/lib/libc10_cuda.so)
target_precompile_headers(ttsft_cuda REUSE_FROM ttsft_torch_pch)
set_target_properties(ttsft_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib INSTALL_RPATH "$ORIGIN")
