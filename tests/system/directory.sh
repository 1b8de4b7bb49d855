#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Directory buckets, whole commands: the endpoint wants sessions, lists in no order, and refuses what such buckets have not.
. "$(dirname "$0")/lib.sh" || exit 1

start_s3d --set express=1 --set unordered=1 --set page_max=3 --set part_min=65536
bucket=s3://mine--usw2-az1--x-s3
flags=(-o provider=aws --addressing-style path)

orbit "${flags[@]}" mb $bucket
exits 0 "mb"
mkdir -p tree/a tree/b/c
for name in a/1 a/2 ab abc b/c/3 z; do
    echo "$name" >"tree/$name"
done
orbit "${flags[@]}" cp tree/ $bucket/
exits 0 "cp of a tree"
orbit "${flags[@]}" ls -r --show-fullpath $bucket
exits 0 "ls -r"
check "ls -r: everything, once" is "$(sort .out | tr '\n' ' ')" \
    "$(printf "$bucket/%s " a/1 a/2 ab abc b/c/3 z)"
orbit "${flags[@]}" ls --show-fullpath "$bucket/ab*"
check "a pattern" is "$(sort .out | tr '\n' ' ')" "$(printf "$bucket/%s " ab abc)"
orbit "${flags[@]}" ls --sort name --show-fullpath $bucket
check "ls --sort" is "$(tr '\n' ' ' <.out)" "$(printf "$bucket/%s " a/ ab abc b/ z)"
orbit "${flags[@]}" cp $bucket/ back/
exits 0 "cp of all of it back"
check "what came back" diff -r tree back

bytes 3000000 >big
orbit "${flags[@]}" cp --part-size 1M big $bucket/big
exits 0 "an upload in parts"
orbit "${flags[@]}" cp $bucket/big $bucket/copy
exits 0 "a copy by the store"
orbit "${flags[@]}" cat $bucket/copy
same "the copy" .out big
orbit "${flags[@]}" -o copy_max=1M --part-size 1M cp $bucket/big $bucket/parts
exits 0 "a copy in parts"
orbit "${flags[@]}" mv $bucket/parts $bucket/moved
exits 0 "mv"
orbit "${flags[@]}" cp -n big $bucket/moved
exits 0 "what is there stays"

orbit "${flags[@]}" presign $bucket/ab
exits 0 "presign"
prints "presign" 'X-Amz-S3session-Token=session-token-.*%2Fs3express%2F|%2Fs3express%2F.*X-Amz-S3session-Token='
check "presign: no other token" test "$(grep -c Security-Token .out)" = 0
check "the URL works" is "$(curl -s "$(cat .out)")" ab

check "nothing was refused" is "$(curl -s "http://127.0.0.1:$port/_control/stats" | grep -o '"failed":{[^}]*}' |
    grep -Eo '"(ListObjectsV2|PutObject|UploadPart|DeleteObjects|CopyObject|UploadPartCopy|CreateSession)":[1-9]')" ''

orbit "${flags[@]}" doctor --write $bucket
exits 0 "doctor"
prints "doctor" 'mine--usw2-az1--x-s3 is there'

orbit "${flags[@]}" versions $bucket/ab
check "no versions" test "$code" != 0
says "no versions" 'versions are not supported'
orbit "${flags[@]}" rm -r $bucket
exits 0 "rm -r"
orbit "${flags[@]}" rb $bucket
exits 0 "rb"
finish
