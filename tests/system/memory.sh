#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The most memory the command ever has, measured from outside: it does not grow with what it moves.
. "$(dirname "$0")/lib.sh" || exit 1

size=${ORBIT_TEST_LARGE_BYTES:-1073741824}
within 32 "put of a large local file" bash -c "truncate -s $size large && exec '$ORBIT' cp -q large copy"
rm -f copy
within 96 "put of a pipe to a file" bash -o pipefail -c "head -c $size /dev/zero | '$ORBIT' put piped"
check "the pipe arrived whole" is "$(stat -c %s piped)" "$size"
rm -f piped
within 96 "cat of a large file" bash -o pipefail -c "'$ORBIT' cat large | wc -c"
prints_exactly "the file was read whole" "$size"

entries=${ORBIT_TEST_ENTRIES:-1000000}
mkdir many
python3 - "$entries" <<'PYTHON'
import os, sys
directory = os.open("many", os.O_RDONLY)
for i in range(int(sys.argv[1])):
    os.close(os.open("f%07d" % i, os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=directory))
PYTHON
within 12 "ls of $entries entries in one directory" bash -c "exec '$ORBIT' ls -0 many >names"
check "all of them are listed" is "$(tr -cd '\0' <names | wc -c)" "$entries"
within 12 "ls -r of $entries entries" bash -c "exec '$ORBIT' ls -r many >names"
check "all of them are listed recursively" is "$(wc -l <names)" "$entries"
within 16 "ls --sort name of $entries entries" bash -c "exec '$ORBIT' ls -0 --sort name many >names"
check "all of them are listed in order" sh -c "LC_ALL=C sort -c -z names && tr -cd '\\0' <names | wc -c | grep -qx $entries"

start_s3d --set store=0
within 32 "put of a large file to S3" "$ORBIT" cp -q large s3://bucket/large
within 96 "put of a pipe to S3" bash -o pipefail -c "head -c $size /dev/zero | '$ORBIT' put s3://bucket/piped"
# The endpoint makes an object of the size that is in its name, and a bucket of as many keys as in its.
within 32 "get of a large object" "$ORBIT" cp -q "s3://bucket/gen-$size" got
check "the object arrived whole" is "$(stat -c %s got)" "$size"
rm -f got
within 96 "cat of a large object" bash -o pipefail -c "'$ORBIT' cat 's3://bucket/gen-$size' | wc -c"
prints_exactly "the object was read whole" "$size"
control 'fault?op=GetObject&ignore_range=1'
within 64 "get of a large object from a store without ranges" "$ORBIT" cp -q "s3://bucket/gen-$size" got
check "the object arrived whole" is "$(stat -c %s got)" "$size"
rm -f got
within 48 "cat of its end" bash -o pipefail -c "'$ORBIT' cat --range -3 's3://bucket/gen-$size' | wc -c"
prints_exactly "the end was read" 3
control clear
within 24 "ls -r of $entries objects" bash -c "exec '$ORBIT' ls -r 's3://keys-$entries' >names"
check "all objects are listed" is "$(wc -l <names)" "$entries"
within 24 "ls --summarize of $entries objects" bash -c "exec '$ORBIT' ls -r --summarize 's3://keys-$entries' | tail -n 2 >names"
check "all objects are counted" grep -qx "Total Objects: $entries" names
within 24 "du of $entries objects" bash -c "exec '$ORBIT' du -g 's3://keys-$entries' >names"
check "all objects are counted by du" grep -q " bytes in $entries objects: s3://keys-$entries \[" names
finish
