# cmake --install build --prefix DIR: a relocatable tree. bin/ttsft finds LibTorch in lib/ beside it, wherever DIR goes.
# The libraries of Dependencies.cmake stay the system's.
include(GNUInstallDirs)
install(DIRECTORY configs DESTINATION share/ttsft PATTERN smoke.yaml EXCLUDE)  # smoke.yaml names files of the repository
install(DIRECTORY ${TTSFT_GRAMMARS} DESTINATION share/ttsft OPTIONAL)
install(FILES LICENSE DESTINATION share/doc/ttsft OPTIONAL)
if(NOT TARGET ttsft)
  return()
endif()
set_target_properties(ttsft PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
install(TARGETS ttsft RUNTIME DESTINATION bin)
if(arrow_libraries)  # Arrow.cmake
  install(FILES ${arrow_libraries} DESTINATION lib)
  install(TARGETS ttsft_parquet LIBRARY DESTINATION lib)
  install(FILES ${ARROW_ROOT}/../LICENSE.txt ${ARROW_ROOT}/../NOTICE.txt DESTINATION share/doc/ttsft/arrow)
endif()
if(TARGET ttsft_cuda)
  install(TARGETS ttsft_cuda LIBRARY DESTINATION lib)
endif()
# When installing, not when configuring: CUDA's libraries may have come in between.
install(CODE "set(TORCH_ROOT \"${TORCH_ROOT}\")")
install(SCRIPT cmake/InstallLibTorch.cmake)
