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

# What only computes goes on beside tests, which mostly wait, and leaves them the processor.
aside=
aside_log="$(mktemp)"
trap '[ -z "$aside" ] || kill -TERM "-$aside" 2>/dev/null; rm -f "$aside_log"' EXIT
aside() {
    setsid nice -n 19 "$@" >"$aside_log" 2>&1 </dev/null &
    aside=$!
}
join_aside() {
    code=0
    wait "$aside" || code=$?
    aside=
    cat "$aside_log"
    return "$code"
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
    step "build: fuzzers"
    configure fuzz
    cmake --build --preset fuzz --target fuzz_sftp fuzz_session fuzz_xml fuzz_text fuzz_reply
    aside sh -c 'scripts/static.sh build/clang && scripts/fuzz.sh build/fuzz 30'
    step "tests: address and undefined behaviour sanitizers"
    suite asan -L 'unit|contract|fault'
    step "tests: thread sanitizer"
    suite tsan -L 'unit|contract|fault'
    step "static: clang-format, clang-tidy, layers; fuzzers of what reads a stranger's bytes (beside the tests above)"
    join_aside
    step "tests: valgrind on the contract suite"
    scripts/valgrind.sh build/release
fi

step "tests"
suite release
