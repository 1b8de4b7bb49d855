#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Versions of objects on a real store: listing them all, reading and removing one, and bringing an object back by
# removing the marker of its removal.
. "$(dirname "$0")/lib.sh" || exit 1
use_gateway
bucket=orbit-versions-$$-$RANDOM

orbit mb "s3://$bucket"
exits 0 "mb"
orbit versions --status "s3://$bucket"
check "a new bucket keeps none" is "$(cat .out)" "off  s3://$bucket"
orbit versions --status "s3://$bucket/key"
exits 2 "the status of an object"
says "why" "names no bucket"
orbit versions --set-status on "s3://$bucket"
exits 2 "a status that is none"
orbit versions --status "s3://$bucket-none"
exits 3 "the status of no bucket"
orbit versions --set-status enabled "s3://$bucket"
exits 0 "it shall keep versions"
orbit versions --status --json "s3://$bucket"
check "it keeps versions" is "$(cat .out)" "{\"bucket\":\"s3://$bucket\",\"versioning\":\"enabled\"}"
orbit versions --status "$work"
exits 2 "the status of a disk"

text() { echo "$1" | "$ORBIT" put -q - "s3://$bucket/$2" || failed "put of $2"; }
text one dir/a
text two dir/a
text three dir/a
text other "dir/a b+%"
text longer dir/abc
text top top
orbit rm "s3://$bucket/dir/a"
exits 0 "rm leaves a marker"

# ids NAME: of its versions, the latest first, with what stands in the column of sizes.
ids() { awk '{ print $(NF - 2), $(NF - 1) }' .out; }
orbit versions "s3://$bucket/dir/a"
exits 0 "versions of one object"
check "four of them, and none of longer names" is "$(awk '{ print $NF }' .out | sort | uniq -c | tr -s ' ')" " 4 a"
ids >of_a
check "the marker first" is "$(head -n 1 of_a | cut -d' ' -f1)" DELETED
marker=$(sed -n '1s/.* //p' of_a) newest=$(sed -n '2s/.* //p' of_a) oldest=$(sed -n '4s/.* //p' of_a)
orbit cat --version-id "$oldest" "s3://$bucket/dir/a"
check "the oldest can be read" is "$(cat .out)" one
orbit stat --version-id "$newest" "s3://$bucket/dir/a"
prints "and looked at" 'size: 6'
orbit cat "s3://$bucket/dir/a"
exits 3 "the object itself is gone"

orbit versions -r "s3://$bucket/"
cp .out all
check "all of the bucket" is "$(wc -l <all)" 7
for entries in 1 2 3; do
    orbit versions -r -o list_page_entries=$entries "s3://$bucket/"
    same "pages of $entries" .out all
done
orbit ls --all-versions "s3://$bucket"
check "a level: a directory and a file" is "$(awk '{ print $NF }' .out | tr '\n' ' ')" "dir/ top "
orbit --json versions "s3://$bucket/dir/a"
check "one is the latest" is "$(grep -c '"is_latest":true' .out)" 1
check "and it is the marker" is "$(grep -c '"is_latest":true,"is_delete_marker":true' .out)" 1
orbit versions "s3://$bucket/nothing"
exits 3 "versions of what never was"
orbit ls --all-versions "$work"
exits 1 "versions on a disk"
says "why" "keeps none"

orbit rm --version-id "$marker" "s3://$bucket/dir/a"
exits 0 "the marker goes"
orbit cat "s3://$bucket/dir/a"
check "and the object is back" is "$(cat .out)" three
orbit rm --version-id "$newest" "s3://$bucket/dir/a"
orbit cat "s3://$bucket/dir/a"
check "the one before is the latest" is "$(cat .out)" two
orbit rm --version-id x "$work/file"
exits 1 "a version of a file"
says "why" "only objects have versions"

for i in 1 2 3; do text "$i" "many/k$i"; text "again $i" "many/k$i"; done
text longer many/k11
orbit rm --all-versions "s3://$bucket/many/k1"
exits 0 "rm of all versions of one"
orbit versions -r "s3://$bucket/many/"
check "the others stay" is "$(wc -l <.out)" 5
orbit rm --all-versions --dry-run -r "s3://$bucket/many/"
check "said only" is "$(grep -c '^rm .*version' .out)" 5
orbit rm --all-versions "s3://$bucket/"
exits 1 "a tree without -r"
says "a tree without -r" "is a directory: -r"
orbit rm --all-versions "s3://$bucket/many"
exits 1 "the same without its slash"
says_once "the same without its slash" "is a directory: -r"
orbit rm --all-versions -r "s3://$bucket/many/"
exits 0 "rm of all versions of a prefix"
orbit versions -r "s3://$bucket/many/"
check "nothing is left" is "$(wc -l <.out)" 0

orbit --json versions -r "s3://$bucket/"
while read -r version name; do
    orbit rm -q --raw --version-id "$version" "$name"
    exits 0 "rm of $name"
done < <(python3 -c 'import json, sys
for line in sys.stdin:
    entry = json.loads(line)
    print(entry["version_id"], entry["key"])' <.out)
orbit rb "s3://$bucket"
exits 0 "an empty bucket"
finish
