#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What happens when the command is ended in the middle.
. "$(dirname "$0")/lib.sh" || exit 1

mkdir target
# A slow producer: the write is under way until we end it.
begin() { # begin COMMAND…: starts it with a slow standard input and waits until it has read something
    mkfifo feed.$$ 2>/dev/null
    interruptible "$@" <feed.$$ >.out 2>.err &
    pid=$!
    exec 9>feed.$$
    head -c 12000000 /dev/zero >&9
    sleep 0.3
}
end() { # end SIGNAL
    kill -"$1" $pid
    check "$1 ends the command within 10 seconds" wait_until 99 0.1 gone $pid
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
    code=$?
    exec 9>&-
}

for signal in INT:130 TERM:143; do
    begin "$ORBIT" put target/file
    end ${signal%:*}
    exits ${signal#*:} "SIG${signal%:*}"
    says_once "SIG${signal%:*} says what happened" '^orbit put: interrupted: nothing was left half-written'
    holds "SIG${signal%:*} leaves nothing" target
done

begin "$ORBIT" put target/file
end KILL
exits 137 "SIGKILL"
absent "SIGKILL leaves nothing at the name" target/file
bytes 1000 | "$ORBIT" put target/file
check "the next write goes well" is "$(stat -c %s target/file)" 1000
holds "the next write sweeps what the killed one left" target file

echo before >target/file
begin "$ORBIT" put target/file
end KILL
check "SIGKILL leaves what was there" is "$(cat target/file)" before
begin "$ORBIT" put target/file
end INT
check "SIGINT leaves what was there" is "$(cat target/file)" before

begin "$ORBIT" --json put target/file
end TERM
exits 143 "SIGTERM with --json"

# A copy of a tree that would take minutes: the endpoint takes and sends 100 KB a second.
three_copied() { [ "$(find copied -type f -size 30000c 2>/dev/null | wc -l)" -ge 3 ]; }
mkdir tree && for i in $(seq 200); do head -c 30000 /dev/zero >tree/$i; done
start_s3d
orbit cp -q tree s3://bucket/tree
exits 0 "a tree for the interruption"
control "set?bandwidth=100000"
interruptible "$ORBIT" cp --numworkers 2 s3://bucket/tree copied >.out 2>.err &
pid=$!
wait_until 600 0.05 three_copied
kill -INT $pid
wait $pid
code=$?
command_line="cp s3://bucket/tree copied"
exits 130 "SIGINT in a tree"
says_once "SIGINT in a tree says how to go on" 'interrupted after [0-9]+ objects?: .*with -n goes on'
check "nothing half-written is in the tree" is "$(find copied -type f ! -size 30000c | wc -l)" 0
check "the tree is not complete yet" test "$(ls -A copied | wc -l)" -lt 200
control "set?bandwidth=0"
orbit cp -n s3://bucket/tree copied
exits 0 "the same command with -n goes on"
check "and completes the tree" diff -r tree copied
stop_s3d

# Output that nobody takes any more.
mkfifo full
"$ORBIT" cat /dev/zero >full 2>.err &
pid=$!
exec 8<full
head -c 100000 <&8 >/dev/null
kill -TERM $pid
check "a signal ends a command whose reader sleeps" wait_until 99 0.1 gone $pid
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
exec 8<&-

finish
