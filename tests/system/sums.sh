#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a listing adds up to: du, and ls --summarize; how much of it a page has; and buckets that are emptied to go.
. "$(dirname "$0")/lib.sh" || exit 1

mkdir -p tree/sub tree/empty && bytes 10 >tree/a.txt && bytes 2000 >tree/b.log && bytes 500 >tree/sub/c.txt
start_s3d
orbit cp tree/ s3://bucket/t/
orbit cp --storage-class GLACIER tree/b.log s3://bucket/t/cold
orbit mkdir s3://bucket/t/marked
exits 0 "what is counted"

# ---- ls --summarize
summary() { printf '\nTotal Objects: %s\n   Total Size: %s' "$1" "$2"; }
orbit ls --summarize tree
check "a directory: files alone count" is "$(tail -n 3 .out)" "$(summary 2 2010)"
check "and the listing is above" is "$(head -n 4 .out | awk '{ print $NF }' | sort | tr '\n' ' ')" "a.txt b.log empty/ sub/ "
orbit ls -r --summarize s3://bucket/t/
check "a prefix" is "$(tail -n 3 .out)" "$(summary 4 4510)"
orbit ls -r -H --summarize --name '*.txt' s3://bucket/t/
check "of what passes the filters" is "$(tail -n 3 .out)" "$(summary 2 510)"
orbit ls -r -H --summarize --sort size tree s3://bucket/t/
check "of all locations, sorted, for people" is "$(tail -n 3 .out)" "$(summary 7 6.9K)"
orbit ls --show-fullpath --summarize tree
check "sizes are asked for where only names are shown" is "$(tail -n 3 .out)" "$(summary 2 2010)"
orbit ls --json -r --summarize s3://bucket/t/
check "in JSON" is "$(tail -n 1 .out)" '{"operation":"ls","success":true,"count":4,"size":4510}'
check "JSON has a line for each, and the sum" is "$(wc -l <.out)" 5
orbit ls --json --summarize tree missing
exits 3 "something is missing"
prints "a sum that is not of all says so" '^\{"operation":"ls","success":false,"count":2,"size":2010\}$'
orbit ls --summarize missing
exits 3 "nothing is there"
prints_exactly "no sum of nothing" ""
orbit ls -0 --summarize tree
usage "a sum among names" "--summarize and -0 do not go together"

# ---- du
orbit du tree
prints_exactly "a tree" "2510 bytes in 3 objects: tree"
(cd tree && "$ORBIT" du) >.out
prints_exactly "without a location" "2510 bytes in 3 objects: ."
orbit du -H s3://bucket s3://bucket/t/sub s3://bucket/t/a.txt 's3://bucket/t/*.*'
prints_exactly "a bucket with its marker, a prefix, an object, a pattern" "$(printf '%s\n' \
    "4.4K bytes in 5 objects: s3://bucket" "500 bytes in 1 object: s3://bucket/t/sub" \
    "10 bytes in 1 object: s3://bucket/t/a.txt" "2.0K bytes in 2 objects: s3://bucket/t/*.*")"
orbit du --exclude '*.txt' s3://bucket/t/
prints_exactly "without some" "4000 bytes in 2 objects: s3://bucket/t/"
orbit du --include '*.txt' tree
prints_exactly "of some" "510 bytes in 2 objects: tree"
orbit du -g s3://bucket/t/
prints_exactly "by storage class" "$(printf '%s\n' "2000 bytes in 1 object: s3://bucket/t/ [GLACIER]" \
    "2510 bytes in 4 objects: s3://bucket/t/ [STANDARD]")"
orbit du -g tree
prints_exactly "classes of a disk" "2510 bytes in 3 objects: tree"
orbit du --json --group s3://bucket/t/
prints_exactly "in JSON" "$(printf '{"operation":"du","success":true,"source":"s3://bucket/t/","storage_class":"%s","count":%s,"size":%s}\n' \
    GLACIER 1 2000 STANDARD 4 2510)"
mkdir none
orbit du none
prints_exactly "an empty directory" "0 bytes in 0 objects: none"
orbit du tree s3://bucket/nothing 's3://bucket/x*'
exits 3 "what is not there"
prints_exactly "the others are counted" "2510 bytes in 3 objects: tree"
control "fault?op=ListObjectsV2&nth=3&status=403&code=AccessDenied"
orbit du --page-size 2 --list-workers 1 --json s3://bucket
exits 4 "a listing that breaks off"
check "a sum of a part says so" is "$(grep -c '"success":false,"source":"s3://bucket","count":4' .out)" 1
control clear
orbit du --all-versions tree
exits 1 "versions of a disk"
orbit du --summarize tree
usage "a flag of ls" "du does not take --summarize"

# ---- pages
orbit ls -r s3://bucket
cp .out all
for entries in 1 2 1000; do
    orbit ls -r --list-workers 1 --page-size $entries s3://bucket
    same "pages of $entries" .out all
done
orbit --log debug ls -r --list-workers 1 --page-size 2 s3://bucket
check "so many pages" is "$(grep -c 'debug http: GET ' .err)" 3
for entries in 0 1001 -1 many; do
    orbit ls --page-size=$entries s3://bucket
    usage "pages of $entries" "--page-size takes a number from 1 to 1000, not '$entries'"
done

# ---- rb --force
orbit mb s3://full
orbit cp -q tree/ s3://full/t/
orbit mkdir s3://full/marked
orbit rb --force s3://full/t
exits 2 "a prefix is no bucket"
says_once "a prefix is no bucket" "'s3://full/t' names no bucket: s3://bucket"
orbit rb --force "$work/tree"
exits 2 "nor is a directory"
present "nor is a directory" tree/a.txt
orbit rb s3://full
exits 1 "without --force"
asked=$(stat_of requests.DeleteObjects)$(stat_of requests.DeleteBucket)
all="rb s3://full rm s3://full/marked/ rm s3://full/t/a.txt rm s3://full/t/b.log rm s3://full/t/sub/c.txt "
orbit rb --dry-run s3://full
exits 1 "without --force nor for show"
says_once "without --force nor for show" "cannot remove 's3://full': the bucket is not empty"
orbit rb --dry-run --force s3://full
exits 0 "what --force would do"
check "what would go is told" is "$(sort .out | tr '\n' ' ')" "$all"
orbit rb --dryrun --force --json s3://full
check "and in JSON" is "$(grep -c '"dry_run":true' .out)" 5
check "and that is all" is "$(stat_of requests.DeleteObjects)$(stat_of requests.DeleteBucket)" "$asked"
control "fault?op=DeleteObjects&status=403&code=AccessDenied"
control "fault?op=DeleteObject&status=403&code=AccessDenied" # one alone is no batch
orbit rb --force s3://full
exits 4 "what must not be removed"
check "the bucket is not tried then" is "$(grep -c 'ERROR "rb' .err)" 0
control clear
orbit ls -r s3://full
check "and all is there" is "$(wc -l <.out)" 3
control "fault?op=DeleteObjects&latency_ms=20000"
control "fault?op=DeleteObject&latency_ms=20000"
interruptible "$ORBIT" rb --force s3://full >.out 2>.err &
sleep 1
kill -INT $!
wait $!
code=$?
exits 130 "an interruption"
says_once "an interruption" "^orbit rb: interrupted after 0 objects; run the same command again$"
control clear
orbit rb --force --page-size 1 s3://full
exits 0 "with --force"
check "what went is told" is "$(sort .out | tr '\n' ' ')" "$all"
orbit ls s3://full
exits 3 "the bucket is gone"
orbit rb --force s3://full
exits 3 "it is gone already"
orbit rb --dry-run s3://full
exits 3 "nor would it go"
orbit rb --dry-run --force s3://full
exits 3 "nor with all that is in it"
orbit mb s3://full
orbit rb --dry-run s3://full
prints_exactly "an empty one would go" "rb s3://full"
orbit rb --force --json s3://full
check "an empty one" is "$(cat .out)" '{"operation":"rb","success":true,"source":"s3://full"}'
orbit rm --force s3://bucket/t/a.txt
usage "a flag of rb" "rm does not take --force"

orbit mb s3://kept
orbit versions --set-status enabled s3://kept
orbit put tree/a.txt s3://kept/a.txt
orbit put tree/b.log s3://kept/a.txt
orbit du --all-versions s3://kept
prints_exactly "every version counts" "2010 bytes in 2 objects: s3://kept"
orbit rb --force s3://kept
exits 1 "older versions keep a bucket"
says_once "older versions keep a bucket" "older versions \('orbit rm -r --all-versions s3://kept' removes them\) or unfinished uploads"
orbit du s3://kept
prints_exactly "its objects are gone" "0 bytes in 0 objects: s3://kept"
orbit du --all-versions s3://kept
prints_exactly "a marker of a removal is no object" "2010 bytes in 2 objects: s3://kept"
orbit rm -q -r --all-versions s3://kept
orbit rb --force s3://kept
exits 0 "without them it goes"

# ---- where a bucket is made: who is no AWS is told when it has asked
stop_s3d
start_s3d --region eu-west-1
export AWS_REGION=
control "fault?op=CreateBucket&count=1&status=400&code=IllegalLocationConstraintException"
orbit --log debug mb --region eu-west-1 s3://near
exits 0 "a store that wants to be told the region"
says "it was told the second time" "PUT http://127.0.0.1:$port/near: 200 in .*, 153 bytes out"
orbit --log debug mb --region eu-west-1 s3://far
exits 0 "a store that does not"
says "it was not told" "PUT http://127.0.0.1:$port/far: 200 in .*, 0 bytes out"
control "fault?op=CreateBucket&status=400&code=IllegalLocationConstraintException"
orbit mb --region eu-west-1 s3://never
exits 1 "nor the second time"
says_once "nor the second time" "IllegalLocationConstraintException"
finish
