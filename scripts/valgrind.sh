#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The contract suite on the embedded backends and on SFTP servers of this machine under valgrind, and the unit tests of what
# opens descriptors and reads what others sent: no error, no use of what was never set, no leak, no hang. Valgrind runs one
# thread at a time, so as many of them run side by side as there are cores; what one prints is shown when it fails.
#   scripts/valgrind.sh BUILD            all of them
#   scripts/valgrind.sh BUILD PROGRAM …  this one
set -eu
cd "$(dirname "$0")/.."
build="${1:-build/release}"

if [ $# -gt 1 ]; then
    shift
    log="$(mktemp)"
    code=0
    timeout 900 valgrind --quiet --error-exitcode=99 --leak-check=full --show-leak-kinds=definite,indirect \
        --errors-for-leak-kinds=definite,indirect --fair-sched=yes "$build/tests/$1" ${2:+"$2"} >"$log" 2>&1 || code=$?
    echo "valgrind: $*: exit code $code"
    [ "$code" -eq 0 ] || cat "$log"
    rm -f "$log"
    exit "$code"
fi

{
    for backend in mem_object mem_files mem_sequential mem_dropping local; do
        echo "contract/test_contract $backend"
    done
    for server in sftp_openssh sftp_minimal; do
        echo "contract/test_contract $server"
    done
    for unit in unit_local unit_local_store unit_local_keep unit_s3 unit_s3_read unit_xml unit_sigv4 unit_sftp; do
        echo "unit/$unit"
    done
} | xargs -P "$(nproc)" -L 1 scripts/valgrind.sh "$build"
