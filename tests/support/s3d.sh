#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The scripted S3 endpoint as a fixture: keeps objects, on a free port.
#
#   s3d.sh start DIR PROGRAM [OPTION…]   starts it, waits until it listens, writes DIR/env. A stale one is stopped first.
#   s3d.sh stop DIR                      ends exactly what start began in DIR.
set -u

fail() {
    echo "s3d.sh: $*" >&2
    exit 1
}

[ $# -ge 2 ] || fail "usage: s3d.sh start DIR PROGRAM [OPTION…] | s3d.sh stop DIR"
mkdir -p "$2" || fail "cannot make $2"
dir=$(cd "$2" && pwd) || exit 1

# Ours is a process whose command line names our port file.
ours() {
    [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -- "$dir/port"
}

stop() {
    local pid waited=0
    [ -s "$dir/pid" ] || return 0
    pid=$(cat "$dir/pid")
    ours "$pid" && kill -TERM "$pid" 2>/dev/null
    while ours "$pid" && [ $waited -lt 50 ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    ours "$pid" && kill -KILL "$pid" 2>/dev/null
    rm -f "$dir/pid" "$dir/port" "$dir/env"
}

case $1 in
start)
    [ $# -ge 3 ] || fail "which program?"
    program=$3
    shift 3
    stop
    rm -f "$dir/port" "$dir/env"
    setsid "$program" --port 0 --port-file "$dir/port" --store "$@" </dev/null >"$dir/out" 2>&1 &
    pid=$!
    echo $pid >"$dir/pid"
    waited=0
    until [ -s "$dir/port" ]; do
        kill -0 $pid 2>/dev/null || fail "it ended at once: $(cat "$dir/out")"
        [ $waited -lt 100 ] || fail "it does not listen after ten seconds: $(cat "$dir/out")"
        sleep 0.1
        waited=$((waited + 1))
    done
    printf 'ORBIT_TEST_S3_ENDPOINT=http://127.0.0.1:%s\nAWS_ACCESS_KEY_ID=orbittestkey\n' "$(cat "$dir/port")" >"$dir/env"
    printf 'AWS_SECRET_ACCESS_KEY=orbittestsecret\nAWS_REGION=us-east-1\n' >>"$dir/env"
    ;;
stop)
    stop
    ;;
*)
    fail "start or stop?"
    ;;
esac
