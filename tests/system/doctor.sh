#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# doctor: a line a finding, what it says of each thing that can be wrong, that nothing stays behind, and no secret is told.
. "$(dirname "$0")/lib.sh" || exit 1

export HOME=$work/home AWS_EC2_METADATA_DISABLED=true
secret=keys-of-the-endpoint
start_s3d --secret "$secret" --access AKIAEXAMPLE7WXYZ
export AWS_ACCESS_KEY_ID=AKIAEXAMPLE7WXYZ AWS_SECRET_ACCESS_KEY=$secret
mkdir -p home here
bytes 300000 >here/data
orbit cp here/data s3://bucket/dir/data
exits 0 "an object"
count() { curl -sf "http://127.0.0.1:$port/_control/stats" | grep -o "\"$1\":[0-9]*" | head -n 1 | grep -o '[0-9]*$'; }
# line WHAT LEVEL CHECK REGEX: standard output has this finding.
line() {
    prints "$1: $3" "^$2 +$3 +.*$4"
}
told() { cat .out .err >>told; }

# ---- all is well
orbit doctor s3://bucket
exits 0 "a store that works"
says_nothing "a store that works"
line "a store" ok resolve '127.0.0.1 has 1 address: 127.0.0.1$'
line "a store" ok connect "127.0.0.1:$port in [0-9.]+ ms, without TLS$"
line "a store" ok credentials 'from the environment: the access key id AKIA…WXYZ$'
line "a store" ok clock agree
line "a store" ok region 'us-east-1$'
line "a store" ok bucket 'bucket is there$'
line "a store" ok list '1 entry in'
line "a store" ok head 'a name that is not there'
told
check "nothing is written unasked" is "$(count PutObject)" 1
orbit doctor s3://bucket/dir
line "a prefix" ok head "'dir/data' can be read"
orbit doctor s3://
exits 0 "the service"
line "the service" ok bucket 'none is named'
line "the service" ok list '1 entry'
orbit doctor -q s3://bucket
prints_exactly "quiet" ""

# ---- whose keys they are, where somebody can be asked
export AWS_ENDPOINT_URL_STS=http://127.0.0.1:$port/_grant/sts
orbit doctor s3://bucket
exits 0 "an identity"
line "an identity" ok identity 'arn:aws:iam::1:user/tester$'
AWS_SECRET_ACCESS_KEY=not-it-swordfish orbit doctor s3://bucket
line "no identity" warn identity 'STS, asked whose keys these are, refused: SignatureDoesNotMatch'
told
unset AWS_ENDPOINT_URL_STS

# ---- JSON
orbit doctor --json s3://bucket s3://no-such-bucket
exits 3 "JSON of a bucket that is not there"
check "each line is an object" python3 -c '
import json, sys
found = [json.loads(line) for line in open(".out")]
assert all(o["operation"] == "doctor" and o["level"] in ("ok", "warn", "fail") and o["message"] for o in found)
assert {"resolve", "connect", "credentials", "clock", "region", "bucket", "list"} <= {o["check"] for o in found if o["source"] == "s3://bucket"}
bad = [o for o in found if not o["success"]]
assert len(bad) == 1 and bad[0]["check"] == "bucket" and bad[0]["source"] == "s3://no-such-bucket"
assert bad[0]["error"]["kind"] == "not_found" and "orbit ls s3://" in bad[0]["advice"], bad'

# ---- writing
orbit doctor --write s3://bucket/dir
exits 0 "writing"
for what in write read condition remove; do line "writing" ok $what ''; done
orbit ls -r --show-fullpath s3://bucket
prints_exactly "nothing stays behind" "s3://bucket/dir/data"
orbit doctor --write -o conditional_writes=true s3://bucket
line "conditions" ok condition 'is atomic'
orbit doctor --write --throughput 3M s3://bucket
exits 0 "measuring"
line "measuring" ok upload '3.0 MiB in [0-9.]+ s: .*/s$'
line "measuring" ok download '3.0 MiB in'
orbit doctor --throughput 100K s3://bucket/dir
line "measuring what is there" ok download '100.* KiB in'
orbit doctor --throughput 100K s3://bucket/empty
line "measuring nothing" warn download 'nothing to read.*--write'
orbit ls -r --show-fullpath s3://bucket
prints_exactly "nothing stays behind, measured" "s3://bucket/dir/data"
control "fault?op=GetObject&status=403&code=AccessDenied"
orbit doctor --write s3://bucket
exits 4 "a probe that cannot be read"
line "a probe that cannot be read" fail read 's3:GetObject'
line "a probe that cannot be read is removed" ok remove ''
control clear
control "fault?op=PutObject&status=403&code=AccessDenied"
orbit doctor --write s3://bucket
exits 4 "a probe that cannot be written"
line "a probe that cannot be written" fail write 'AccessDenied.*s3:PutObject'
control clear
control "fault?op=DeleteObject&status=403&code=AccessDenied"
orbit doctor --write s3://bucket/kept
exits 4 "a probe that cannot be removed"
line "a probe that cannot be removed" fail remove "'kept/.orbit-doctor-[0-9a-f]{16}' could not be removed.*by hand"
control clear
orbit rm -r s3://bucket/kept

# ---- what can be wrong
orbit doctor s3://no-such-bucket
exits 3 "no bucket"
line "no bucket" fail bucket "'no-such-bucket' does not exist.*orbit ls s3://"
AWS_SECRET_ACCESS_KEY=not-it-swordfish orbit doctor s3://bucket
exits 4 "a wrong secret"
line "a wrong secret" fail list SignatureDoesNotMatch
told
orbit doctor --no-sign-request s3://bucket
exits 0 "no keys"
line "no keys" ok credentials 'none: requests are not signed'
line "no keys" warn bucket 's3:ListBucket'
line "no keys" warn list ''
(
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
    orbit doctor s3://bucket
    exits 4 "no credentials"
    line "no credentials" fail credentials 'no S3 credentials: set AWS_ACCESS_KEY_ID'
    echo "$checks $failures" >.counts
)
read -r checks failures <.counts
orbit doctor --endpoint-url http://127.0.0.1:1 s3://bucket
exits 5 "a port where nobody listens"
line "a port where nobody listens" fail connect 'connection refused.*--endpoint-url'
orbit doctor --endpoint-url http://no-such-host.invalid s3://bucket
exits 5 "a name that does not resolve"
line "a name that does not resolve" fail resolve "'no-such-host.invalid' does not resolve"
orbit doctor --region eu-north-1 s3://bucket
exits 0 "another region"
line "another region" warn region 'in us-east-1, not in eu-north-1; say --region us-east-1'
line "another region" ok list ''
control "set?clock_offset_s=120"
orbit doctor s3://bucket
line "a clock that is a little wrong" warn clock "clock is 1[12][0-9] s behind the store's; let"
control "set?clock_offset_s=-7200"
orbit doctor s3://bucket
exits 0 "a clock that is wrong"
line "a clock that is wrong" warn clock "is 7[12][0-9][0-9] s ahead of the store's, which is more than stores allow"
line "a clock that is wrong" ok list ''
control "set?clock_offset_s=0"
control "fault?op=HeadBucket&status=403"
control "fault?op=ListObjectsV2&status=403&code=AccessDenied"
orbit doctor --write s3://bucket
exits 0 "a bucket that must not be listed"
line "a bucket that must not be listed" warn bucket 's3:ListBucket'
line "a bucket that must not be listed" warn list AccessDenied
line "a bucket that must not be listed" ok write ''
control clear
http_proxy=http://user:swordfish@127.0.0.1:1 orbit doctor s3://bucket
line "a proxy that is gone" fail connect ''
told

# ---- TLS
"$TLS_SH" make "$work/tls" || exit 1
stop_s3d
for which in server stranger; do
    start_s3d --tls-cert "$work/tls/$which.pem" --tls-key "$work/tls/$which.key" --tls-client-ca "$work/tls/ca.pem"
    export AWS_ENDPOINT_URL="https://127.0.0.1:$port"
    orbit doctor -o client_cert="$work/tls/client.pem" -o client_key="$work/tls/client.key" --ca-bundle "$work/tls/ca.pem" \
        s3://bucket
    if [ $which = server ]; then
        exits 0 "TLS"
        line "TLS" ok connect "127.0.0.1:$port in [0-9.]+ ms, TLS in [0-9.]+ ms"
        line "TLS" ok certificate 'CN = localhost, valid until 20[0-9]{2}-'
    else
        exits 4 "a certificate of another name"
        line "another name" fail certificate 'not trusted.*CN = other.invalid.*--ca-bundle'
    fi
    orbit doctor -o client_cert="$work/tls/client.pem" -o client_key="$work/tls/client.key" --no-verify-ssl s3://bucket
    exits 0 "TLS that is not verified"
    line "TLS that is not verified" warn certificate 'is not verified; leave out --no-verify-ssl'
    stop_s3d
done

# ---- other stores
orbit doctor --write --throughput 1M here
exits 0 "a directory"
for what in filesystem space access write read condition upload download remove; do line "a directory" ok $what ''; done
holds "nothing stays in a directory" here data
orbit doctor nowhere
exits 3 "a directory that is not there"
line "a directory that is not there" fail access 'No such file'
orbit doctor --write mem://x
exits 0 "memory"
line "memory" ok write ''
orbit doctor
usage "no location" ""
orbit doctor -
exits 2 "standard input"

check "no secret is told" bash -c "! grep -Eq '$secret|swordfish|EXAMPLE' told"
finish
