#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the build and the test servers need, builds Orbit with every checker, and passes every test.
#   ./check.sh         everything
#   ./check.sh quick   the release build and its tests only
set -eu
cd "$(dirname "$0")"
scripts/packages.sh test
mode="${1:-all}"

step() { printf '\n== %s\n' "$*"; }
configure() { cmake --preset "$1" >/dev/null; }
# Many tests mostly wait, for time-outs or a server: one more than there are cores.
suite() { # preset, then ctest's arguments
    preset="$1"
    shift
    ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --parallel "$(($(nproc) + 1))" "$@"
}

step "build: gcc, -Werror"
configure release
cmake --build --preset release

if [ "$mode" = all ]; then
    step "build: clang, -Werror"
    configure clang
    cmake --build --preset clang
    step "build: address and undefined behaviour sanitizers"
    configure asan
    cmake --build --preset asan
    step "build: thread sanitizer"
    configure tsan
    cmake --build --preset tsan
    step "static: clang-format, clang-tidy, layers"
    scripts/static.sh build/clang
    step "tests: address and undefined behaviour sanitizers"
    suite asan -L 'unit|contract|fault'
    step "tests: thread sanitizer"
    suite tsan -L 'unit|contract|fault'
    step "tests: valgrind on the contract suite"
    scripts/valgrind.sh build/release
fi

step "tests"
suite release
