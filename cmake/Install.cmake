# cmake --install: one relocatable tree, bin/ttsft beside lib/ with LibTorch's libraries.
include(GNUInstallDirs)
if(TARGET ttsft)
  install(TARGETS ttsft RUNTIME DESTINATION bin)
endif()
