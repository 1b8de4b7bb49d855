# SPDX-License-Identifier: Apache-2.0
# What the system tests share: a private directory, running a command and looking at its exit code, standard
# output and standard error, an S3 endpoint of one's own. Sourced by bash scripts; every check can fail, all of
# them run, and the script ends with 1 if one did.
#
# From CTest: ORBIT (the command), MAXRSS, S3D, EXAMPLES (a directory), TLS_SH.
set -u
: "${ORBIT:?the command under test}"
[ -x "$ORBIT" ] || exit 1
unset AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 S3_ENDPOINT_URL AWS_PROFILE AWS_CA_BUNDLE ORBIT_MEMORY ORBIT_LOG
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_REGION AWS_DEFAULT_REGION AWS_MAX_ATTEMPTS
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
export LC_ALL=C TZ=UTC

checks=0
failures=0
this=${0##*/}
work=$(mktemp -d "${TMPDIR:-/tmp}/orbit-system-XXXXXX") || exit 1
s3d_pid=
delay_pid=
sshd=
cleanup() {
    [ -z "$s3d_pid" ] || kill "$s3d_pid" 2>/dev/null
    [ -z "$delay_pid" ] || kill "$delay_pid" 2>/dev/null
    [ -z "$sshd" ] || "$SSHD_SH" stop "$sshd"
    [ -z "${mounted:-}" ] || umount "$mounted" 2>/dev/null
    chmod -R u+rwx "$work" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
cd "$work" || exit 1

failed() {
    failures=$((failures + 1))
    echo "$this: FAILED: $*" >&2
    echo "    command: ${command_line:-}" >&2
    echo "    exit code: ${code:-}" >&2
    [ ! -s "$work/.out" ] || head -c 1500 "$work/.out" | sed 's/^/    out: /' >&2
    [ ! -s "$work/.err" ] || head -c 1500 "$work/.err" | sed 's/^/    err: /' >&2
}

# run COMMAND…: its exit code in $code, its outputs in .out and .err.
run() {
    command_line="$*"
    "$@" >"$work/.out" 2>"$work/.err"
    code=$?
}
orbit() {
    run timeout "${ORBIT_TIMEOUT:-60}" "$ORBIT" "$@"
}

# check WHAT COMMAND…: the command says yes.
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    "$@" || failed "$what"
}
is() { [ "$1" = "$2" ] || {
    echo "    '$1' is not '$2'" >&2
    return 1
}; }

# use_gateway: the real store that the fixture started, as the environment's endpoint.
use_gateway() {
    : "${ORBIT_RGW_ENV:?where the fixture tells how to reach it}"
    set -a
    . "$ORBIT_RGW_ENV" || exit 1
    set +a
    export AWS_ENDPOINT_URL=$ORBIT_TEST_S3_ENDPOINT
}

# wait_until TRIES PAUSE COMMAND…: until it succeeds, looked at so often, so many seconds apart; fails when it never did.
wait_until() {
    local tries=$1 pause=$2
    shift 2
    until "$@"; do
        [ $((tries -= 1)) -ge 0 ] || return 1
        sleep "$pause"
    done
}
gone() { ! kill -0 "$1" 2>/dev/null; }

# within [-t] MIB WHAT COMMAND…: it ends well and never had more resident memory, with -t the processes it starts counted in.
within() {
    local tree= limit what kib
    [ "$1" != -t ] || { tree=-t; shift; }
    limit=$1 what=$2
    shift 2
    command_line="$*"
    timeout 300 "${MAXRSS:?}" $tree "$work/.rss" "$@" >"$work/.out" 2>"$work/.err"
    code=$?
    exits 0 "$what"
    kib=$(cat "$work/.rss" 2>/dev/null || echo 999999999)
    echo "$this: $what: $((kib / 1024)) MiB"
    check "$what stays within $limit MiB (it had $kib KiB)" test "$kib" -le $((limit * 1024))
}

# start_sshd: an SSH server of our own, ended with the script; its settings are the environment's, its directory is $sshd.
start_sshd() {
    unset XDG_RUNTIME_DIR
    export TMPDIR=$work
    sshd=$work/sshd
    "${SSHD_SH:?the private SSH server}" start "$sshd" 0 || failed "sshd.sh start"
    . "$sshd/env" || exit 1
}

# far_host MS: a way of MS milliseconds each way to the SSH server whose settings the environment has; its configuration
# is far.config then.
far_host() {
    local server=${ORBIT_TEST_SSH_CONFIG%/*} port
    "${DELAY:?the far proxy}" --to "$ORBIT_TEST_SSH_PORT" --port 0 --port-file "$work/delay.port" --ms "$1" &
    delay_pid=$!
    check "the proxy" wait_until 100 0.05 test -s "$work/delay.port"
    port=$(cat "$work/delay.port")
    sed "s/]:$ORBIT_TEST_SSH_PORT/]:$port/" "$server/known_hosts" >"$work/far.hosts"
    sed -e "s/Port $ORBIT_TEST_SSH_PORT/Port $port/" -e "s|$server/known_hosts\$|$work/far.hosts|" \
        "$ORBIT_TEST_SSH_CONFIG" >"$work/far.config"
}

# interruptible COMMAND… &: a background job of a script ignores SIGINT; a command typed by a person does not.
interruptible() {
    exec python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' "$@"
}

# exits CODE WHAT: the last run ended so.
exits() {
    checks=$((checks + 1))
    [ "$code" = "$1" ] || failed "$2 (expected exit code $1)"
}
# says WHAT REGEX: standard error holds it; says_once: and is one line.
says() {
    checks=$((checks + 1))
    grep -Eq -- "$2" "$work/.err" || failed "$1 (standard error does not say /$2/)"
}
says_once() {
    says "$1" "$2"
    checks=$((checks + 1))
    [ "$(wc -l <"$work/.err")" = 1 ] || failed "$1 (standard error is not one line)"
}
says_nothing() {
    checks=$((checks + 1))
    [ ! -s "$work/.err" ] || failed "$1 (standard error is not empty)"
}
# usage WHAT REGEX: exit code 2, a sentence, the way to the help.
usage() {
    exits 2 "$1"
    says "$1" "$2"
    checks=$((checks + 1))
    tail -n 1 "$work/.err" | grep -Eq "^try 'orbit( [a-z]+)? --help'$" || failed "$1 (no way to the help)"
}
prints() {
    checks=$((checks + 1))
    grep -Eq -- "$2" "$work/.out" || failed "$1 (standard output does not have /$2/)"
}
prints_exactly() {
    checks=$((checks + 1))
    [ "$(cat "$work/.out")" = "$2" ] || failed "$1 (expected standard output: $2)"
}
same() { # same WHAT FILE FILE
    checks=$((checks + 1))
    cmp -s "$2" "$3" || failed "$1 ('$2' and '$3' differ)"
}
absent() { # absent WHAT FILE…
    local what=$1 file
    shift
    checks=$((checks + 1))
    for file in "$@"; do
        if [ -e "$file" ] || [ -L "$file" ]; then
            failed "$what ('$file' exists)"
        fi
    done
}
present() {
    checks=$((checks + 1))
    [ -f "$2" ] || failed "$1 ('$2' is not there)"
}
# holds WHAT DIR NAME…: DIR holds exactly these names, temporary files included.
holds() {
    local what=$1 dir=$2
    shift 2
    checks=$((checks + 1))
    [ "$(ls -A "$dir" | sort)" = "$([ $# = 0 ] || printf '%s\n' "$@" | sort)" ] ||
        failed "$what ('$dir' holds: $(ls -A "$dir" | tr '\n' ' '))"
}

# bytes N: that many bytes that are not all alike.
bytes() {
    openssl enc -aes-128-ctr -K 00112233445566778899aabbccddeeff -iv 0 -in /dev/zero 2>/dev/null | head -c "$1"
}

# as_nobody COMMAND…: without root's rights where we are root.
as_nobody() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
    else
        "$@"
    fi
}

skip() {
    echo "$this: skipped: $*"
}

# mount_small DIR SIZE: a small file system there, until the end or `umount DIR && mounted=`. Says so where there
# can be none.
mount_small() {
    if [ "$(id -u)" = 0 ] && mount -t tmpfs -o "size=$2" tmpfs "$1" 2>/dev/null; then
        mounted=$work/$1
    else
        skip "a file system of $2: cannot mount one"
        return 1
    fi
}

# An S3 endpoint of our own: start_s3d [OPTION…] sets $port and the environment.
start_s3d() {
    rm -f "$work/.port"
    "${S3D:?}" --port 0 --port-file "$work/.port" --with-parent --access key --secret secret --bucket bucket \
        --store "$@" >"$work/.s3d" 2>&1 &
    s3d_pid=$!
    local tries=0
    while [ ! -s "$work/.port" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 "$s3d_pid" 2>/dev/null; then
            echo "$this: the S3 endpoint did not start: $(cat "$work/.s3d")" >&2
            exit 1
        fi
        sleep 0.1
    done
    port=$(cat "$work/.port")
    export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_REGION=us-east-1
    export AWS_ENDPOINT_URL="http://127.0.0.1:$port"
}
# control WHAT: of the endpoint, such as "set?bandwidth=0".
control() {
    checks=$((checks + 1))
    curl -sf -X POST "http://127.0.0.1:$port/_control/$1" >/dev/null || failed "the endpoint's control: $1"
}
# stat_of NAME: what the endpoint has counted, such as "received" or "requests.UploadPart".
stat_of() {
    curl -sf "http://127.0.0.1:$port/_control/stats" | python3 -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1].split("."): value = value.get(name, 0)
print(value)' "$1"
}
stop_s3d() {
    kill "$s3d_pid" 2>/dev/null
    wait "$s3d_pid" 2>/dev/null
    s3d_pid=
}

finish() {
    if [ $checks = 0 ]; then
        echo "$this: nothing was checked" >&2
        exit 1
    fi
    echo "$this: $checks checks, $failures failed"
    [ $failures = 0 ]
    exit
}
