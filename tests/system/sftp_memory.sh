#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The most memory that the command and its ssh ever have together, near and far: it does not grow with what they move.
. "$(dirname "$0")/lib.sh" || exit 1
start_sshd
files=$ORBIT_TEST_SSH_FILES
far_host 10

size=${ORBIT_TEST_SFTP_BYTES:-536870912} entries=100000
truncate -s $size "$files/large" large
mkdir "$files/many"
python3 - "$files/many" $entries <<'PYTHON'
import os, sys
directory = os.open(sys.argv[1], os.O_RDONLY)
for i in range(int(sys.argv[2])):
    os.close(os.open("f%07d" % i, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
PYTHON
there=sftp://direct$files

for where in near far; do
    config=$ORBIT_TEST_SSH_CONFIG
    [ $where = near ] || config=$work/far.config
    export ORBIT_SSH_OPTIONS="-F '$config'"
    within -t 48 "$where: cp of a large file to a host" "$ORBIT" cp -q large "$there/sent"
    check "$where: it arrived whole" cmp "$files/sent" large
    within -t 48 "$where: cp of a large file from a host" "$ORBIT" cp -q "$there/large" got
    check "$where: it was fetched whole" cmp got large
    within -t 48 "$where: put of a pipe" bash -o pipefail -c "head -c $size /dev/zero | '$ORBIT' put -q - '$there/piped'"
    check "$where: the pipe arrived whole" cmp "$files/piped" large
    within -t 48 "$where: cat of a large file to nowhere" bash -c "exec '$ORBIT' cat '$there/large' >/dev/null"
    within -t 48 "$where: cat of a large file to a pipe" bash -o pipefail -c "'$ORBIT' cat '$there/large' | wc -c"
    prints_exactly "$where: it was read whole" $size
    within -t 16 "$where: ls of $entries entries" bash -c "exec '$ORBIT' ls '$there/many/' >names"
    check "$where: all of them are listed" is "$(wc -l <names)" $entries
    rm -f "$files/sent" "$files/piped" got
done
finish
