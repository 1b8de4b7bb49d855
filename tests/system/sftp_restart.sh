#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A server that is killed and started again in the middle of a copy: nobody notices, whichever way the bytes go.
. "$(dirname "$0")/lib.sh" || exit 1
start_sshd
server() { "$SSHD_SH" "$1" "$sshd" || failed "sshd.sh $1"; }
files=$ORBIT_TEST_SSH_FILES

# Far enough to be met in the middle: one channel carries 2 MiB a round trip.
far_host 20
export ORBIT_SSH_OPTIONS="-F '$work/far.config'"

size=100663296 kills=3
bytes $size >data
there() { # there DIR: bytes of a file that is not whole yet, its journal not counted
    local file bytes=0
    for file in "$1"/.orbit-????????????????; do
        [ ! -f "$file" ] || bytes=$(stat -c %s "$file" 2>/dev/null)
    done
    echo "${bytes:-0}"
}
reaches() { [ "$(there "$1")" -ge "$2" ] || gone $pid; }

# survives WHAT DIR SOURCE TARGET: the server dies at every quarter of it. A part has five tries, which are over in less than a
# second where nobody answers.
survives() {
    local i killed=0
    "$ORBIT" -q --retry-count=4 cp -c 1 "$3" "$4" >.out 2>.err &
    pid=$!
    command_line="cp $3 $4"
    for ((i = 1; i <= kills; i++)); do
        wait_until 3000 0.01 reaches "$2" $((size / (kills + 1) * i))
        gone $pid && break
        server halt
        [ "$i$1" != "2an upload" ] || sleep 1.5 # longer than its tries last
        server again
        killed=$((killed + 1))
    done
    wait $pid
    code=$?
    exits 0 "$1"
    says_nothing "$1"
    check "$1: in the middle of it" is $killed $kills
}
mkdir up down
ln -s "$files" far
mkdir far/up
survives "an upload" far/up data "sftp://direct$files/up/data"
same "an upload" data far/up/data
holds "an upload" far/up data
survives "a download" down "sftp://direct$files/up/data" down/data
same "a download" data down/data
holds "a download" down data

# What is listed is removed meanwhile, so that the directory is another one when its listing begins again.
fewer() { [ "$(ls "$files/tree" | wc -l)" -lt "$1" ] || gone $pid; }
goes() { # goes WHAT VERB…: the connection is lost three times while the tree becomes smaller
    local left cuts=0
    (mkdir "$files/tree" && cd "$files/tree" && seq 4000 | xargs touch)
    "$ORBIT" "${@:2}" >.out 2>.err &
    pid=$!
    command_line=${*:2}
    for left in 3500 2200 1000; do
        wait_until 3000 0.01 fewer $left
        gone $pid && break
        kill -USR1 $delay_pid
        cuts=$((cuts + 1))
    done
    wait $pid
    code=$?
    exits 0 "$1"
    check "$1: in the middle of it" is $cuts 3
    check "$1: each is told once" is "$(sort -u .out | grep -c "tree/[0-9]")" 4000
    check "$1: and once only" is "$(grep -c "tree/[0-9]" .out)" 4000
    check "$1: nothing is left there" test ! -e "$files/tree"
}
goes "a tree that is removed" rm -r "sftp://direct$files/tree"
goes "a tree that is moved" mv "sftp://direct$files/tree/" moved/
check "a tree that is moved: all of it is here" is "$(ls moved | wc -l)" 4000

# Who was never there is not waited for.
server halt
orbit --log=info ls "sftp://direct$files"
exits 5 "a server that is not there"
check "a server that is not there is not waited for" is "$(grep -c 'waiting for' .err)" 0
finish
