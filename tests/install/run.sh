#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the build directory $1 into a fresh prefix and builds the outside program against it, by
# pkg-config and by CMake; runs each.
set -eu
build="$1"
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >/dev/null
pc=$(find "$work/prefix" -name liborbit.pc)
lib=$(dirname "$(dirname "$pc")")
# The file names the prefix of the configure step; pkg-config moves it to where the file stands.
export PKG_CONFIG_PATH="${pc%/*}"
flags="--define-variable=prefix=$work/prefix"

# shellcheck disable=SC2046
gcc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror "$here/outside.c" -o "$work/by-pkg-config" \
    $(pkg-config "$flags" --cflags --libs liborbit)
LD_LIBRARY_PATH="$lib" "$work/by-pkg-config"
echo "by pkg-config: ok"

cmake -G Ninja -S "$here" -B "$work/cmake" -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/cmake" >/dev/null
for program in outside_shared outside_static outside_cpp; do
    "$work/cmake/$program"
    echo "by CMake, $program: ok"
done

"$work/prefix/bin/orbit" version
# Nothing but the public API is visible.
hidden=$(nm -D --defined-only "$lib"/liborbit.so | awk '{print $3}' | sed 's/@.*//' | grep -v '^orbit_' | grep -v '^LIBORBIT_' || true)
[ -z "$hidden" ] || {
    echo "symbols that are not public API: $hidden" >&2
    exit 1
}
readelf -d "$lib"/liborbit.so | grep -q 'SONAME.*liborbit\.so\.0'
# Every public header compiles alone.
for header in "$work"/prefix/include/orbit/*.h; do
    gcc -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Werror -I"$work/prefix/include" -fsyntax-only -x c "$header"
    g++ -std=c++17 -Wall -Wextra -Werror -I"$work/prefix/include" -fsyntax-only -x c++ "$header"
done
echo "headers alone, C and C++: ok"
