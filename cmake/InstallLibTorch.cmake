# Runs within cmake --install: puts LibTorch (TORCH_ROOT) and all it needs beyond the system into lib/.
# Every library of the wheels has $ORIGIN in its own rpath, so one flat folder works.
set(lib ${CMAKE_INSTALL_PREFIX}/lib)
set(doc ${CMAKE_INSTALL_PREFIX}/share/doc/ttsft)

function(resolve library found missing)
  file(GET_RUNTIME_DEPENDENCIES LIBRARIES ${TORCH_ROOT}/lib/${library}
    RESOLVED_DEPENDENCIES_VAR resolved UNRESOLVED_DEPENDENCIES_VAR unresolved
    POST_EXCLUDE_REGEXES "^/lib" "^/usr/lib")
  set(${found} ${resolved} PARENT_SCOPE)
  set(${missing} ${unresolved} PARENT_SCOPE)
endfunction()

# A link to another name is copied with what it points to.
function(copy)
  file(INSTALL ${ARGN} DESTINATION ${lib} FOLLOW_SYMLINK_CHAIN)
endfunction()

resolve(libtorch_cpu.so libraries missing)
if(missing)
  message(FATAL_ERROR "LibTorch at ${TORCH_ROOT} lacks ${missing}; tools/setup fetches what it needs")
endif()
copy(${TORCH_ROOT}/lib/libtorch_cpu.so ${libraries})

# CUDA: also libraries that are opened by name only while running (cuDNN's engines, nvrtc's builtins, linalg), so the
# folders as they are.
if(EXISTS ${TORCH_ROOT}/lib/libtorch_cuda.so)
  resolve(libtorch_cuda.so libraries missing)
  if(missing)
    message(STATUS "Without CUDA: ${missing} not found; tools/setup --cuda fetches them")
  else()
    file(GLOB cuda ${TORCH_ROOT}/lib/*cuda*.so* ${TORCH_ROOT}/lib/*nvrtc*.so* ${TORCH_ROOT}/lib/*nvshmem*.so*
      ${TORCH_ROOT}/../nvidia/*/lib/*.so*)
    copy(${cuda} ${libraries})
  endif()
endif()

# The licences of what was copied: GPU libraries may not be passed on without theirs.
file(GLOB metadata ${TORCH_ROOT}/../torch-*.dist-info ${TORCH_ROOT}/../nvidia_*.dist-info)
foreach(folder IN LISTS metadata)
  get_filename_component(name ${folder} NAME_WLE)
  if(EXISTS ${folder}/licenses)
    file(INSTALL ${folder}/licenses/ DESTINATION ${doc}/${name})
  endif()
endforeach()
