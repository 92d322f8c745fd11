# ttsft_embed_text(<area> <file>...): each file of src/<area> as a C++ string literal, <file>.inc, to be included where
# one may stand. Text stays in a file that its own tools know; the program needs no file at run time.
if(CMAKE_SCRIPT_MODE_FILE)  # the step of the build: cmake -DFROM= -DTO= -P
  file(READ ${FROM} text)
  file(WRITE ${TO} "R\"ttsft(${text})ttsft\"\n")
  return()
endif()

set(TTSFT_EMBED_TEXT ${CMAKE_CURRENT_LIST_FILE})
function(ttsft_embed_text area)
  set(folder ${CMAKE_BINARY_DIR}/embedded/${area})
  file(MAKE_DIRECTORY ${folder})
  foreach(name IN LISTS ARGN)
    set(from ${CMAKE_SOURCE_DIR}/src/${area}/${name})
    set(to ${folder}/${name}.inc)
    add_custom_command(OUTPUT ${to} DEPENDS ${from} ${TTSFT_EMBED_TEXT} VERBATIM
      COMMAND ${CMAKE_COMMAND} -DFROM=${from} -DTO=${to} -P ${TTSFT_EMBED_TEXT})
    target_sources(ttsft_${area} PRIVATE ${to})
  endforeach()
  target_include_directories(ttsft_${area} PRIVATE ${folder})
endfunction()
