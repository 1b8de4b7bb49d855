#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command against a real object store: Ceph's gateway, or whatever ORBIT_TEST_S3_ENDPOINT names.
. "$(dirname "$0")/lib.sh" || exit 1
use_gateway
bucket=orbit-cli-$$-$RANDOM

orbit mb "s3://$bucket"
exits 0 "mb"
bytes 20000000 >data
orbit cp data "s3://$bucket/dir/"
exits 0 "cp"
orbit cp "s3://$bucket/dir/data" back
exits 0 "cp back"
same "there and back" data back
bytes 20000000 | "$ORBIT" put "s3://$bucket/stream" >.out 2>.err
code=$?
exits 0 "a stream of unknown length"
orbit cat "s3://$bucket/stream"
same "a stream of unknown length" .out data
orbit cat --range -10 "s3://$bucket/stream"
check "a range" cmp -s .out <(tail -c 10 data)
: >empty
orbit cp empty "s3://$bucket/empty"
orbit --json stat "s3://$bucket/empty"
prints "an empty object" '"size":0'

mkdir -p tree/sub && echo one >tree/a.txt && echo two >'tree/sub/b c+d%.txt' && bytes 70000 >tree/c.bin
orbit cp tree "s3://$bucket/tree"
exits 0 "a tree"
orbit cp "s3://$bucket/tree" tree-back
check "a tree and back" diff -r tree tree-back
orbit ls "s3://$bucket"
prints "ls" '^ +DIR  tree/$'
prints "ls" ' 20000000  stream$'
orbit ls -r "s3://$bucket/tree"
check "ls -r" is "$(wc -l <.out)" 3
orbit ls "s3://$bucket/t*/*.txt"
prints "ls of a pattern" '  tree/a\.txt$'
orbit presign "s3://$bucket/tree/sub/b c+d%.txt"
check "a presigned GET" is "$(curl -sf "$(cat .out)")" two
orbit presign --method PUT --expires 5m "s3://$bucket/presigned"
check "a presigned PUT" curl -sf -T tree/c.bin "$(cat .out)"
orbit cat "s3://$bucket/presigned"
same "a presigned PUT" .out tree/c.bin
orbit mv "s3://$bucket/dir/data" "s3://$bucket/moved"
exits 0 "mv"
orbit stat "s3://$bucket/dir/data"
exits 3 "mv takes the source away"
orbit cp --metadata color=blue --content-type text/x-test tree/a.txt "s3://$bucket/meta"
orbit cp "s3://$bucket/meta" "s3://$bucket/meta2"
orbit stat "s3://$bucket/meta2"
prints "metadata goes along" '^metadata color: blue$'
prints "the type goes along" '^content type: text/x-test$'
orbit cp -n data "s3://$bucket/meta"
exits 0 "cp -n"
orbit cat "s3://$bucket/meta"
prints_exactly "cp -n keeps what is there" one

# A copy within the store of more than it copies in one request.
bytes 314572800 >huge
orbit cp --metadata color=blue --content-type text/x-test --part-size 64M huge "s3://$bucket/huge"
exits 0 "300 MiB"
orbit --stat -o copy_max=64MiB cp "s3://$bucket/huge" "s3://$bucket/huge2"
exits 0 "300 MiB within the store"
says "300 MiB within the store are its own work" '^ +5  part_copy$'
orbit -o copy_max=64MiB mv "s3://$bucket/huge2" "s3://$bucket/huge3"
exits 0 "mv of 300 MiB within the store"
orbit stat "s3://$bucket/huge2"
exits 3 "mv of 300 MiB takes the source away"
orbit stat "s3://$bucket/huge3"
prints "metadata goes along with 300 MiB" '^metadata color: blue$'
prints "the type goes along with 300 MiB" '^content type: text/x-test$'
orbit cat "s3://$bucket/huge3"
same "300 MiB within the store" huge .out
orbit uploads ls "s3://$bucket"
prints_exactly "no upload is left of them" ""
rm huge

# Killed at a few moments, and gone on with.
export ORBIT_STATE_DIR="$work/state"
bytes 100000000 >large
for ms in 150 250 350; do
    "$ORBIT" cp --part-size 5M -c 2 large "s3://$bucket/killed" >.out 2>.err &
    pid=$!
    sleep 0.$ms
    kill -KILL $pid 2>/dev/null
    wait $pid 2>/dev/null
done
orbit cp --part-size 5M -c 2 large "s3://$bucket/killed"
exits 0 "the same command ends what was killed"
orbit cat "s3://$bucket/killed"
same "it is the file" large .out
orbit uploads ls "s3://$bucket"
exits 0 "uploads ls"
prints_exactly "no upload is left open" ""
check "no journal is left" is "$(find state -type f | wc -l)" 0

# Object Lock, also of uploads in parts, whose locks this store drops. Such a bucket stays: nothing of it may be removed.
region=${AWS_REGION:-us-east-1}
if curl -sS --fail -o /dev/null -X PUT --aws-sigv4 "aws:amz:$region:s3" --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
    -H 'x-amz-bucket-object-lock-enabled: true' -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "$AWS_ENDPOINT_URL/$bucket-locked"; then
    until=$(date -u -d '+2 minutes' +%Y-%m-%dT%H:%M:%SZ)
    for size in 64M 5M; do
        orbit cp --checksum-algorithm MD5 -o "put_max=$size" --object-lock-mode GOVERNANCE --object-lock-retain-until-date "$until" \
            data "s3://$bucket-locked/$size"
        exits 0 "a lock, with put_max=$size"
        orbit stat "s3://$bucket-locked/$size"
        prints "a lock, with put_max=$size" '^object lock: GOVERNANCE$'
        prints "and its end" "^locked until: ${until%Z}"
    done
else
    skip "locks: the store makes no bucket that has them"
fi

orbit cp "s3://$bucket/none" x
exits 3 "a wrong key"
orbit ls "s3://$bucket-none"
exits 3 "a wrong bucket"
AWS_SECRET_ACCESS_KEY=wrongsecret orbit ls "s3://$bucket"
exits 4 "a wrong secret"
AWS_ACCESS_KEY_ID=nobody orbit ls "s3://$bucket"
exits 4 "a wrong access key"
orbit rb "s3://$bucket"
exits 1 "rb of a bucket that is not empty"
orbit rm -r "s3://$bucket"
exits 0 "rm -r of all"
orbit ls -r "s3://$bucket"
prints_exactly "rm -r removes all" ""
orbit rb "s3://$bucket"
exits 0 "rb"
finish
