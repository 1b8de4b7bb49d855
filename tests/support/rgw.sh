#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A private Ceph RADOS Gateway for tests: one monitor, one OSD in memory, one gateway, all on loopback, all
# files in DIR. Needs root and the Debian packages ceph-mon ceph-osd radosgw ceph-common.
#
#   rgw.sh start DIR PORT   starts it and waits until it answers; PORT 0 picks a free one. Writes DIR/env with
#                           ORBIT_TEST_S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION.
#                           A stale instance in DIR is stopped first.
#   rgw.sh stop DIR         ends exactly what start began in DIR. Fine when nothing runs.
#
# With ORBIT_TEST_S3_ENDPOINT set, start uses that endpoint (and the AWS_* variables) and starts nothing.
set -u
# shellcheck source=tests/support/free_port.sh
. "$(dirname "${BASH_SOURCE[0]}")/free_port.sh"

fail() {
    echo "rgw.sh: $*" >&2
    exit 1
}

usage() {
    echo "usage: rgw.sh start DIR PORT | rgw.sh stop DIR" >&2
    exit 2
}

[ $# -ge 2 ] || usage
action=$1
mkdir -p "$2" || fail "cannot make $2"
dir=$(cd "$2" && pwd) || exit 1
access=orbittestkey
secret=orbittestsecret

# Ours is a process whose command line names our configuration file: a pid may have been given to another one.
ours() {
    [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -- "$dir/ceph.conf"
}

stop() {
    local name pid waited
    for name in rgw osd mon; do
        [ -s "$dir/$name.pid" ] || continue
        pid=$(cat "$dir/$name.pid")
        if ours "$pid"; then
            kill -TERM "$pid" 2>/dev/null
            waited=0
            # Nothing here is worth keeping: no patience for an orderly end.
            while ours "$pid" && [ $waited -lt 20 ]; do
                sleep 0.1
                waited=$((waited + 1))
            done
            ours "$pid" && kill -KILL "$pid" 2>/dev/null
        fi
        rm -f "$dir/$name.pid"
    done
}

run() { # run NAME COMMAND…: in the background, its pid in NAME.pid
    local name=$1
    shift
    setsid "$@" </dev/null >"$dir/$name.out" 2>&1 &
    echo $! >"$dir/$name.pid"
}

step() { # step WHAT COMMAND…: or tell why not
    local what=$1
    shift
    timeout 60 "$@" >"$dir/step.out" 2>&1 || {
        echo "rgw.sh: $what failed: $*" >&2
        tail -n 20 "$dir/step.out" >&2
        tail -n 5 "$dir"/*.log 2>/dev/null >&2
        stop
        exit 1
    }
}

configure() { # configure MON_PORT RGW_PORT FSID
    cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $3
mon host = v1:127.0.0.1:$1
auth cluster required = none
auth service required = none
auth client required = none
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
osd crush chooseleaf type = 0
ms bind msgr2 = false
ms bind ipv6 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = $dir/run
log file = $dir/\$type.\$id.log
admin socket =
crash dir = $dir/crash
pid file =
keyring = $dir/keyring
mon data = $dir/mon
mon data avail warn = 1
mon data avail crit = 1
osd data = $dir/osd
debug ms = 0
[osd.0]
osd objectstore = memstore
memstore device bytes = 8589934592
osd memory target = 1073741824
[client.rgw]
rgw data = $dir/rgw
rgw frontends = beast endpoint=127.0.0.1:$2
rgw crypt require ssl = false
rgw enable usage log = false
rgw gc max objs = 8
rgw thread pool size = 64
CONF
}

start_ceph() { # start_ceph PORT
    local port=$1 mon fsid uuid waited revived=0
    mon=$(free_port) || fail "no free port for the monitor"
    fsid=$(cat /proc/sys/kernel/random/uuid)
    uuid=$(cat /proc/sys/kernel/random/uuid)
    rm -rf "$dir/mon" "$dir/osd" "$dir/rgw" "$dir/run" "$dir/crash" "$dir"/*.log "$dir/env"
    mkdir -p "$dir/mon" "$dir/osd" "$dir/rgw" "$dir/run" "$dir/crash"
    : >"$dir/keyring"
    configure "$mon" "$port" "$fsid"
    local conf=(-c "$dir/ceph.conf")

    step "making the monitor's map" monmaptool --create --clobber --addv a "[v1:127.0.0.1:$mon]" --fsid "$fsid" "$dir/monmap"
    step "making the monitor" ceph-mon "${conf[@]}" --mkfs -i a --monmap "$dir/monmap"
    run mon ceph-mon "${conf[@]}" -f -i a
    step "making the OSD" ceph-osd "${conf[@]}" -i 0 --mkfs --osd-uuid "$uuid"
    step "registering the OSD" ceph "${conf[@]}" --connect-timeout 30 osd new "$(cat "$dir/osd/fsid")"
    run osd ceph-osd "${conf[@]}" -f -i 0
    step "placing the OSD" ceph "${conf[@]}" --connect-timeout 30 osd crush add osd.0 1.0 root=default host=localhost
    run rgw radosgw "${conf[@]}" -f -n client.rgw

    waited=0
    until curl -s -o /dev/null --max-time 5 "http://127.0.0.1:$port/"; do
        ours "$(cat "$dir/rgw.pid")" || {
            tail -n 20 "$dir/rgw.out" "$dir"/client.*.log >&2 2>/dev/null
            stop
            fail "the gateway ended before it was ready"
        }
        # It ends with "wrong fsid" where it asked the monitor for something before it had its map.
        if ! ours "$(cat "$dir/osd.pid")" && [ $revived -lt 5 ]; then
            revived=$((revived + 1))
            run osd ceph-osd "${conf[@]}" -f -i 0
        fi
        waited=$((waited + 1))
        [ $waited -lt 300 ] || {
            tail -n 20 "$dir"/*.log >&2
            stop
            fail "the gateway did not answer within a minute"
        }
        sleep 0.2
    done
    step "making the user" radosgw-admin "${conf[@]}" -n client.rgw user create --uid=t --display-name=t \
        --access-key=$access --secret=$secret
}

write_env() { # write_env ENDPOINT ACCESS SECRET REGION
    printf 'ORBIT_TEST_S3_ENDPOINT=%s\nAWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\nAWS_REGION=%s\n' \
        "$1" "$2" "$3" "$4" >"$dir/env.new" && mv "$dir/env.new" "$dir/env"
}

case $action in
start)
    [ $# -eq 3 ] || usage
    stop
    if [ -n "${ORBIT_TEST_S3_ENDPOINT:-}" ]; then
        write_env "$ORBIT_TEST_S3_ENDPOINT" "${AWS_ACCESS_KEY_ID:-}" "${AWS_SECRET_ACCESS_KEY:-}" "${AWS_REGION:-us-east-1}"
        exit 0
    fi
    for program in monmaptool ceph-mon ceph-osd ceph radosgw radosgw-admin curl setsid timeout; do
        command -v $program >/dev/null || fail "$program is missing (packages: ceph-mon ceph-osd ceph-common radosgw curl)"
    done
    [ "$(id -u)" = 0 ] || fail "needs root"
    port=$3
    [ "$port" != 0 ] || port=$(free_port) || fail "no free port"
    # A machine that is busy, or a port that somebody else took meanwhile: another try with other ports.
    for try in 1 2 3; do
        (start_ceph "$port") && break
        [ $try -lt 3 ] || exit 1
        echo "rgw.sh: trying again" >&2
        [ "$3" != 0 ] || port=$(free_port) || fail "no free port"
    done
    write_env "http://127.0.0.1:$port" $access $secret us-east-1
    ;;
stop)
    stop
    rm -rf "$dir/env" "$dir/mon" "$dir/osd" "$dir/rgw" "$dir/run" "$dir/crash"
    ;;
*)
    usage
    ;;
esac
