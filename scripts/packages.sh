#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs Debian packages that are not there yet: build | test | bench (each includes the ones before).
set -eu

build="gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libcurl4-openssl-dev libssl-dev libexpat1-dev libjansson-dev"
test="libcmocka-dev zlib1g-dev radosgw ceph-mon ceph-osd nginx-light openssh-client openssh-server proftpd-core \
    proftpd-mod-crypto openssl curl procps psmisc \
    valgrind clang clang-tidy clang-format libclang-rt-14-dev g++ git attr acl strace"
bench="python3 python3-pip time"

case "${1:-build}" in
build) wanted="$build" ;;
test) wanted="$build $test" ;;
bench) wanted="$build $test $bench" ;;
*)
    echo "usage: $0 build|test|bench" >&2
    exit 2
    ;;
esac

missing=
for package in $wanted; do
    case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" in
    installed) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || {
        echo "installing$missing needs root: run this as root or install sudo" >&2
        exit 1
    }
    root="sudo"
fi
echo "installing:$missing"
$root apt-get update -qq
# Servers are for the tests' private instances: their packages must not start system services.
# shellcheck disable=SC2086
$root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing >/dev/null
