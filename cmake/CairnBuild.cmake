# Compiler settings, third-party libraries and the two functions every folder uses.
include(GNUInstallDirs)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
# -fPIC for programs too, where CMake would choose -fPIE: the precompiled header serves both, and
# the installed client library is a shared one. Without semantic interposition it costs nothing.
add_compile_options(-fPIC -fno-semantic-interposition)

find_program(CCACHE ccache)
if(CCACHE)
  # pch_defines,time_macros: without them ccache refuses units that use a precompiled header.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()
if(CAIRN_SANITIZE)
  # -g1 has the lines of a report; the rest of -g would take a third longer to compile.
  add_compile_options(-fsanitize=${CAIRN_SANITIZE} -fno-omit-frame-pointer -O1 -g1
                      -fno-sanitize-recover=undefined)
  # Compressed, the lines take a third of the space: these programs are several times the released.
  add_link_options(-fsanitize=${CAIRN_SANITIZE} -Wl,--compress-debug-sections=zlib)
  if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    # Clang 14 cannot assemble coroutines with it: "difference across sections".
    add_compile_options(-fno-sanitize=function)
  endif()
  if(CAIRN_SANITIZE MATCHES thread)
    add_compile_options(-Wno-tsan) # Asio uses atomic_thread_fence
  endif()
endif()
if(CAIRN_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fcoroutines>)
endif()

find_package(Boost 1.81 REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(leveldb REQUIRED)
find_package(GTest REQUIRED)
find_package(ZLIB REQUIRED)
find_package(LibArchive 3.6 REQUIRED)
find_library(AIO_LIBRARY aio REQUIRED)
find_library(DEFLATE_LIBRARY deflate REQUIRED)
find_library(XXHASH_LIBRARY xxhash REQUIRED)
find_library(RE2_LIBRARY re2 REQUIRED)
find_library(TCMALLOC_LIBRARY tcmalloc_minimal REQUIRED)

# What every Cairn target is compiled with; the third-party headers are SYSTEM (imported targets).
add_library(cairn_options INTERFACE)
target_include_directories(cairn_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(cairn_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
                       -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC 12 reports these inside std::variant and Asio's coroutine frames where there is nothing.
  target_compile_options(cairn_options INTERFACE -Wno-maybe-uninitialized -Wno-stringop-overread
                         -Wno-mismatched-new-delete)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
  # Part of clang's -Wconversion, not of GCC's.
  target_compile_options(cairn_options INTERFACE -Wno-sign-conversion)
endif()
target_compile_definitions(cairn_options INTERFACE
  CAIRN_VERSION="${PROJECT_VERSION}"
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED SPDLOG_FMT_EXTERNAL)
target_link_libraries(cairn_options INTERFACE Boost::headers Threads::Threads)

# cairn_library(NAME SOURCES a.cpp … LINKS target …): a static library of one folder.
function(cairn_library name)
  cmake_parse_arguments(ARG "NO_PCH" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC cairn_options ${ARG_LINKS})
  if(NOT ARG_NO_PCH)
    target_precompile_headers(${name} REUSE_FROM cairn_pch)
  endif()
endfunction()

# cairn_program(NAME SOURCES … LINKS …): an installed executable.
function(cairn_program name)
  cmake_parse_arguments(ARG "NO_INSTALL" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE cairn_options ${ARG_LINKS})
  if(NOT CAIRN_SANITIZE) # a sanitizer has its own
    # A request is many small pieces of memory, made on one thread and gone on another: with glibc's
    # malloc they are a tenth of all the time.
    target_link_libraries(${name} PRIVATE ${TCMALLOC_LIBRARY})
  endif()
  target_precompile_headers(${name} REUSE_FROM cairn_pch)
  if(NOT ARG_NO_INSTALL)
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endfunction()
