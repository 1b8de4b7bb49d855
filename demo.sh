#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what the build needs, builds Orbit, and runs the main job on the embedded backends.
set -eu
cd "$(dirname "$0")"
scripts/packages.sh build
cmake -S . -B build/demo -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DORBIT_TESTS=OFF -DORBIT_BENCH=OFF >/dev/null
cmake --build build/demo
exec build/demo/examples/demo
