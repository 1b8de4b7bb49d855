#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The contract suite on the embedded backends under valgrind: no error, no leak, no hang.
set -eu
cd "$(dirname "$0")/.."
build="${1:-build/release}"
for backend in mem_object mem_files mem_sequential mem_dropping local; do
    echo "valgrind: $backend"
    timeout 900 valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
        --errors-for-leak-kinds=definite,indirect --fair-sched=yes \
        "$build/tests/contract/test_contract" "$backend"
done
