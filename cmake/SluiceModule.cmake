# One folder of src/ is one module: one library, one namespace, and a fixed list of modules that it may use.
# This table is the only place where the direction of dependencies is written down; tests/lint/includes.py reads it too.
#
# sluice_allow(MODULE USES...)                 what MODULE may use, lowest module first
# sluice_module(MODULE [USES m...] [PUBLIC lib...] [PRIVATE lib...])
#     declares src/MODULE: *.cc become the library sluice_MODULE, *_test.cc the program MODULE_test.
#     Any module in USES that the table does not allow stops the configure step.

set(SLUICE_MODULES "" CACHE INTERNAL "")
function(sluice_allow module)
  set(SLUICE_ALLOWED_${module} "${ARGN}" CACHE INTERNAL "")
  set(SLUICE_MODULES "${SLUICE_MODULES};${module}" CACHE INTERNAL "")
endfunction()

sluice_allow(base)
sluice_allow(json base)
sluice_allow(task base json)
sluice_allow(kafka base)
sluice_allow(postgres base)
sluice_allow(ledger base postgres)
sluice_allow(message base json)
sluice_allow(sink base json task postgres ledger message)
sluice_allow(mariadb base)
sluice_allow(compare base postgres mariadb)
sluice_allow(pipeline base json task kafka postgres ledger message sink compare)
sluice_allow(control base json task kafka postgres ledger message sink pipeline)
sluice_allow(server base json task kafka postgres ledger message sink pipeline control)
sluice_allow(connect base task kafka)
sluice_allow(client base)
sluice_allow(cli base json task kafka postgres ledger message sink compare pipeline control server connect client)

# sluice_precompile(TARGET FIRST [HEADERS...])   FIRST of its kind (libraries, tests) precompiles HEADERS, the others of the
#     kind use what it made.
function(sluice_precompile target first)
  if(NOT SLUICE_PCH)
    return()
  endif()
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>) # for ccache
  if(target STREQUAL first)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${first})
  endif()
endfunction()
set(SLUICE_COMMON_HEADERS <algorithm> <chrono> <functional> <map> <memory> <optional> <string> <string_view> <vector>
  <fmt/format.h> <fmt/ranges.h> <tl/expected.hpp>)

function(sluice_module module)
  cmake_parse_arguments(ARG "" "" "USES;PUBLIC;PRIVATE" ${ARGN})
  if(NOT "${module}" IN_LIST SLUICE_MODULES)
    message(FATAL_ERROR "src/${module}: not in the table of cmake/SluiceModule.cmake; add sluice_allow(${module} ...)")
  endif()
  foreach(used IN LISTS ARG_USES)
    if(NOT "${used}" IN_LIST SLUICE_ALLOWED_${module})
      message(FATAL_ERROR "src/${module}: may not use '${used}'; allowed: ${SLUICE_ALLOWED_${module}}")
    endif()
  endforeach()

  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cc")
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|main)\\.cc$")
  list(TRANSFORM ARG_USES PREPEND sluice_ OUTPUT_VARIABLE used_libraries)
  if(sources)
    add_library(sluice_${module} STATIC ${sources})
    target_link_libraries(sluice_${module} PUBLIC sluice_options ${used_libraries} ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
    sluice_precompile(sluice_${module} sluice_base ${SLUICE_COMMON_HEADERS})
  else()
    add_library(sluice_${module} INTERFACE)
    target_link_libraries(sluice_${module} INTERFACE sluice_options ${used_libraries} ${ARG_PUBLIC})
  endif()
  if(tests AND SLUICE_TESTS)
    add_executable(${module}_test ${tests})
    target_link_libraries(${module}_test PRIVATE sluice_${module} ${ARG_PRIVATE} sluice_test_main)
    sluice_precompile(${module}_test base_test ${SLUICE_COMMON_HEADERS} <gtest/gtest.h> <rapidcheck.h>)
    add_test(NAME unit/${module} COMMAND ${module}_test WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    set_property(TEST unit/${module} PROPERTY LABELS unit)
  endif()
endfunction()
