# libttsft_parquet.so (src/parquet): io/parquet by Arrow C++ of the pyarrow wheel that tools/setup unpacks into .deps/arrow.
# Opened at run time, a MODULE that nothing links to (src/io/parquet_module.h says why). Without Arrow ttsft is built all
# the same, and says so when a parquet file is named. Not under the sanitizers, which Arrow is not built with.
set(ARROW_ROOT ${CMAKE_SOURCE_DIR}/.deps/arrow/pyarrow)
file(GLOB arrow_libraries ${ARROW_ROOT}/libarrow.so.* ${ARROW_ROOT}/libparquet.so.*)
if(TTSFT_SANITIZE OR NOT arrow_libraries OR NOT EXISTS ${ARROW_ROOT}/include/parquet/arrow/reader.h)
  set(arrow_libraries "")
  message(STATUS "Without Arrow: parquet is neither read nor written (tools/setup fetches it)")
  return()
endif()
message(STATUS "Arrow at ${ARROW_ROOT}")
add_library(ttsft_parquet MODULE src/parquet/parquet.cpp)
target_include_directories(ttsft_parquet PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})
target_include_directories(ttsft_parquet SYSTEM PRIVATE ${ARROW_ROOT}/include)
target_link_libraries(ttsft_parquet PRIVATE ttsft_options ${arrow_libraries})
set_target_properties(ttsft_parquet PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib INSTALL_RPATH "$ORIGIN"
  CXX_VISIBILITY_PRESET default)
