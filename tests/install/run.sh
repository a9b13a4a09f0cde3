#!/bin/sh
# Installs the client library into a directory of its own and builds programs that know nothing but
# that: by the CMake package in C++, by pkg-config in C and C++.
# Usage: run.sh BUILD_DIR SOURCE_DIR CXX CC
set -eu
build=$1
source=$2
cxx=$3
cc=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/install.log"
cp -r "$source/tests/install/program" "$work/program"

cmake -S "$work/program" -B "$work/by-cmake" -DCMAKE_PREFIX_PATH="$work/prefix" \
  -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_C_COMPILER="$cc" >"$work/cmake.log"
cmake --build "$work/by-cmake" >"$work/build.log" || { cat "$work/build.log"; exit 1; }

PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name cairn.pc)")
PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
export PKG_CONFIG_PATH PKG_CONFIG_ALLOW_SYSTEM_LIBS
# The file names the prefix of configuration time, as every .pc file does.
flags="--define-variable=prefix=$work/prefix cairn"
# shellcheck disable=SC2046,SC2086
"$cc" -std=c99 -o "$work/from_c" "$work/program/from_c.c" $(pkg-config --cflags --libs $flags)

LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export LD_LIBRARY_PATH
"$work/by-cmake/blocking"
"$work/by-cmake/awaitable"
"$work/from_c"
