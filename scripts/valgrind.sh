#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The contract suite on the embedded backends under valgrind, and the unit tests of what opens descriptors and reads what
# others sent: no error, no use of what was never set, no leak, no hang.
set -eu
cd "$(dirname "$0")/.."
build="${1:-build/release}"

clean() {
    echo "valgrind: $*"
    timeout 900 valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
        --errors-for-leak-kinds=definite,indirect --fair-sched=yes "$@"
}

for backend in mem_object mem_files mem_sequential mem_dropping local; do
    clean "$build/tests/contract/test_contract" "$backend"
done
for unit in unit_local unit_local_store unit_local_keep unit_s3 unit_s3_read unit_xml unit_sigv4; do
    clean "$build/tests/unit/$unit"
done
