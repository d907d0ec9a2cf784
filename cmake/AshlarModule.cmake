# ashlar_library, ashlar_executable and ashlar_test: one library target per folder, our warnings as
# errors, and the layer rule of cmake/layers.txt applied to every dependency.

set(ASHLAR_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Wimplicit-fallthrough
                    -Wunused-result -Wno-missing-field-initializers -Werror)

# Reads cmake/layers.txt once into ASHLAR_LAYER_<folder> variables.
file(STRINGS ${CMAKE_SOURCE_DIR}/cmake/layers.txt layer_lines REGEX "^[a-z]")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/layers.txt)
foreach(line IN LISTS layer_lines)
  if(line MATCHES "^([a-z/]+) *: *(.*)$")
    set(folder ${CMAKE_MATCH_1})
    string(REGEX MATCHALL "[a-z/]+" allowed "${CMAKE_MATCH_2}")
    set(ASHLAR_LAYER_${folder} "${allowed}")
    list(APPEND ASHLAR_LAYER_FOLDERS ${folder})
  endif()
endforeach()

function(ashlar_target_name folder out)
  string(REPLACE "/" "_" name ${folder})
  set(${out} ashlar_${name} PARENT_SCOPE)
endfunction()

# ashlar_library(SOURCES a.cc … DEPS common/base … LIBS fmt::fmt … [EXCEPTIONS])
# The library of the current folder under src/. DEPS are folders, LIBS other people's targets.
# EXCEPTIONS is for the few edges that call a library that throws; all else is built without.
function(ashlar_library)
  cmake_parse_arguments(ARG "EXCEPTIONS" "" "SOURCES;DEPS;LIBS" ${ARGN})
  file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR})
  if(NOT folder IN_LIST ASHLAR_LAYER_FOLDERS)
    message(FATAL_ERROR "src/${folder} is not in cmake/layers.txt: add it with what it may include")
  endif()
  ashlar_target_name(${folder} target)
  set(scope PUBLIC)
  if(ARG_SOURCES)
    add_library(${target} STATIC ${ARG_SOURCES})
    target_compile_options(${target} PRIVATE ${ASHLAR_WARNINGS})
    if(NOT ARG_EXCEPTIONS)
      target_compile_options(${target} PRIVATE -fno-exceptions)
    endif()
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${target} ${scope} ${CMAKE_SOURCE_DIR}/src)
  foreach(dep IN LISTS ARG_DEPS)
    if(NOT dep IN_LIST ASHLAR_LAYER_${folder})
      message(FATAL_ERROR "layer rule: src/${folder} may not depend on src/${dep} "
                          "(allowed: ${ASHLAR_LAYER_${folder}}; see cmake/layers.txt)")
    endif()
    ashlar_target_name(${dep} dep_target)
    target_link_libraries(${target} ${scope} ${dep_target})
  endforeach()
  target_link_libraries(${target} ${scope} ${ARG_LIBS})
endfunction()

# ashlar_executable(NAME SOURCES … DEPS folders… LIBS …): a program of ours (daemon, tool, bench).
function(ashlar_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_compile_options(${name} PRIVATE ${ASHLAR_WARNINGS})
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
  foreach(dep IN LISTS ARG_DEPS)
    ashlar_target_name(${dep} dep_target)
    target_link_libraries(${name} PRIVATE ${dep_target})
  endforeach()
  target_link_libraries(${name} PRIVATE ${ARG_LIBS})
endfunction()

# ashlar_test(NAME SOURCES x_test.cc … DEPS folders… LIBS … [TIMEOUT seconds] [LABELS …])
# A GoogleTest program; each TEST becomes one CTest test, found when CTest runs.
function(ashlar_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;LIBS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  ashlar_executable(${name} SOURCES ${ARG_SOURCES} DEPS ${ARG_DEPS}
                    LIBS ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM ashlar_test_pch)
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "unit;${ARG_LABELS}")
endfunction()
