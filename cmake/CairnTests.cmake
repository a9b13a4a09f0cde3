# How tests that are programs of their own are registered. ./test decides by label what runs where.
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)

# cairn_python_test(NAME LABELS label … [TIMEOUT seconds] [SERIAL] [ENVIRONMENT K=V …]
#                   SCRIPT file [ARGUMENTS …])
# A Python script of this folder that exits 0 when all is well. It finds the programs under test by
# CAIRN_BIN, the build tree by CAIRN_BUILD, and modules in tests/support. SERIAL: alone on the
# machine, for tests that measure time.
function(cairn_python_test name)
  cmake_parse_arguments(ARG "SERIAL" "SCRIPT;TIMEOUT" "LABELS;ENVIRONMENT;ARGUMENTS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_test(NAME ${name}
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_SCRIPT} ${ARG_ARGUMENTS})
  set_tests_properties(${name} PROPERTIES
    LABELS "${ARG_LABELS}"
    TIMEOUT ${ARG_TIMEOUT}
    RUN_SERIAL ${ARG_SERIAL}
    ENVIRONMENT "CAIRN_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};CAIRN_BUILD=${CMAKE_BINARY_DIR};PYTHONPATH=${CMAKE_SOURCE_DIR}/tests/support;PYTHONDONTWRITEBYTECODE=1;${ARG_ENVIRONMENT}")
endfunction()
