#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every example with arguments, on this disk and in memory.
. "$(dirname "$0")/lib.sh" || exit 1
: "${EXAMPLES:?}"
example() {
    local name=$1
    shift
    run timeout 120 "$EXAMPLES/$name" "$@"
}

mkdir store in
store=file://$work/store
bytes 20000000 >large
example upload_large_file large "$store" images/large
exits 0 "upload_large_file"
prints "upload_large_file" "^20000000 bytes in [0-9]+ parts"
same "upload_large_file" large store/images/large
example upload_large_file missing "$store" x
exits 1 "upload_large_file of what is missing"
absent "upload_large_file of what is missing" store/x
example upload_large_file large mem://m x
exits 0 "upload_large_file to memory"

example resumable_download "$store" images/large got
exits 0 "resumable_download"
same "resumable_download" large got
example resumable_download "$store" missing got2
exits 1 "resumable_download of what is missing"
absent "resumable_download of what is missing" got2

example stream_generated_data "$store" generated 3000001
exits 0 "stream_generated_data"
check "a source writes all it has" is "$(stat -c %s store/generated)" 3000001
same "a writer writes the same" store/generated store/generated.pushed
example stream_generated_data mem://m generated 3000001
exits 0 "stream_generated_data in memory"

echo x >store/images/note.txt
example list_large_bucket "$store"
exits 0 "list_large_bucket"
prints "list_large_bucket" '^ +20000000  images/large$'
prints "list_large_bucket" '^4 entries'
example list_large_bucket "$store" images
prints "list_large_bucket of a directory" '^2 entries'
example list_large_bucket "$store" missing
exits 1 "list_large_bucket of what is missing"

example first_match "$store"
exits 0 "first_match"
prints "first_match" '^found: images/note\.txt'
example first_match "$store" .none
exits 1 "first_match without a match"

for i in 1 2 3 4 5 6 7 8 9 10; do bytes $((i * 100000)) >in/file$i.bin; done
example ten_uploads "$store" in/*
exits 0 "ten_uploads"
check "ten_uploads" diff -r in store/uploads
example ten_uploads "$store" in/file1.bin missing in/file2.bin
exits 1 "ten_uploads with a file missing"
prints "ten_uploads goes on" "uploads/file2.bin: 200000 bytes"

example poll_loop large "$store" polled </dev/null
exits 0 "poll_loop"
same "poll_loop" large store/polled
example poll_loop missing "$store" polled2 </dev/null
exits 1 "poll_loop of what is missing"

TMPDIR=$work example demo "" 64 2000
exits 0 "demo"
prints "demo" "all checksums agree"
check "demo cleans up" is "$(ls -d "$work"/orbit-demo-* 2>/dev/null | wc -l)" 0
example demo mem://demo-store 16 500
exits 0 "demo in memory"

start_s3d
example upload_large_file large s3://bucket images/large
exits 0 "upload_large_file to S3"
example resumable_download s3://bucket images/large from-s3
same "resumable_download from S3" large from-s3
example stream_generated_data s3://bucket generated 9000001
exits 0 "stream_generated_data to S3"
example list_large_bucket s3://bucket
prints "list_large_bucket of S3" '^3 entries'
example first_match s3://bucket .pushed
prints "first_match in S3" '^found: generated\.pushed'
example ten_uploads s3://bucket in/*
exits 0 "ten_uploads to S3"
example poll_loop large s3://bucket polled </dev/null
exits 0 "poll_loop to S3"
example demo s3://bucket 64 2000
exits 0 "demo on S3"
prints "demo on S3" "all checksums agree"
finish
