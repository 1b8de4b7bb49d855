#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# URLs that the command signs, used by a program that has no keys.
. "$(dirname "$0")/lib.sh" || exit 1

start_s3d
bytes 3000000 >data
key='dir/a b+%41 ü&=.txt'
orbit cp data "s3://bucket/$key"
exits 0 "cp"

# fetch [CURL'S OPTIONS]: what a URL gives; the HTTP status in $http.
fetch() {
    http=$(curl -s -o .body -D .head -w '%{http_code}' "$@")
}

orbit presign "s3://bucket/$key"
exits 0 "presign"
url=$(cat .out)
fetch "$url"
check "a GET without keys" is "$http" 200
same "a GET without keys" .body data
fetch -r 10-19 "$url"
check "a range of it" is "$http" 206
fetch -T data "$url"
check "the URL of a GET does not write" is "$http" 403
fetch "${url%?}$(echo "${url: -1}" | tr 0-9a-f 1-9a-f0)"
check "another signature" is "$http" 403
fetch "${url/X-Amz-Expires=3600/X-Amz-Expires=7200}"
check "a longer life" is "$http" 403
fetch "${url/dir/other}"
check "another key" is "$http" 403
fetch -I "$url"
check "a HEAD with the URL of a GET" is "$http" 403
orbit presign --method=head "s3://bucket/$key"
fetch -I "$(cat .out)"
check "a HEAD" is "$http" 200

orbit presign --method PUT --expires 10m s3://bucket/new
url=$(cat .out)
fetch -T data "$url"
check "a PUT without keys" is "$http" 200
orbit cat s3://bucket/new
same "a PUT without keys" .out data
orbit presign --method DELETE s3://bucket/new
fetch -X DELETE "$(cat .out)"
check "a DELETE" is "$http" 204
orbit stat s3://bucket/new
exits 3 "a DELETE without keys"

orbit presign --content-type text/x-new --content-disposition 'attachment; filename="b c"' "s3://bucket/$key"
fetch "$(cat .out)"
check "the reply's headers" is "$http" 200
check "the reply's type" grep -qi '^content-type: text/x-new.$' .head
check "the reply's disposition" grep -qi '^content-disposition: attachment; filename="b c".$' .head

# ---- time
orbit presign --expires 90m "s3://bucket/$key"
url=$(cat .out)
prints "--expires" 'X-Amz-Expires=5400&'
control 'set?clock_offset_s=5300'
fetch "$url"
check "before it expires" is "$http" 200
control 'set?clock_offset_s=5500'
fetch "$url"
check "when it has expired" is "$http" 403
control 'set?clock_offset_s=0'
orbit presign --expires-in 60 "s3://bucket/$key"
prints "seconds" 'X-Amz-Expires=60&'
orbit presign --expires 7d "s3://bucket/$key"
prints "a week" 'X-Amz-Expires=604800&'

# ---- said, and refused
orbit presign --json s3://bucket/x s3://bucket/y
check "several, one a line" is "$(grep -c '"url":"http://127.0.0.1:.*X-Amz-Signature=[0-9a-f]*"' .out)" 2
for wrong in 8d 0 yesterday 2026-11-22 -5; do
    orbit presign --expires="$wrong" s3://bucket/x
    usage "--expires=$wrong" 'expires'
done
orbit presign --method PATCH s3://bucket/x
usage "another method" 'GET HEAD PUT DELETE'
orbit presign s3://bucket
exits 1 "a bucket"
says "a bucket" 'it is a bucket'
orbit presign --no-sign-request s3://bucket/x
exits 4 "without keys"
orbit presign data
exits 1 "a local file"

finish
