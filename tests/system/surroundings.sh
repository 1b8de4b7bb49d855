#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What environment and profile say of a store, in the words of the AWS tools, and which of them wins.
source=$(cd "$(dirname "$0")/../.." && pwd)
. "$(dirname "$0")/lib.sh" || exit 1

start_s3d
unset AWS_REQUEST_CHECKSUM_CALCULATION AWS_RESPONSE_CHECKSUM_VALIDATION AWS_IGNORE_CONFIGURED_ENDPOINT_URLS
unset AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
export HOME=$work/home AWS_EC2_METADATA_DISABLED=true
mkdir -p home/.aws
echo hello >small
# profile LINE…: the default one, of nothing but these lines.
profile() { printf '%s\n' "[default]" "$@" >home/.aws/config; }
refusals() { curl -sf "http://127.0.0.1:$port/_control/stats" | grep -o '"status_5xx":[0-9]*' | grep -o '[0-9]*$'; }

# ---- the document's table
for word in $(sed -n 's/^    {"\([a-z0-9_]*\)", [A-Z_]*, .*/\1/p' "$source/src/backend/s3/s3_config.c"); do
    check "the setting $word is in the table" grep -q "^|.*|.*\`$word\`.*|.*|.*|.*|$" "$source/docs/s3.md"
done

# ---- checksums of writes
control "set?own_checksum=0"
# written WHAT yes|no [FLAG…]: whether what is put comes with a checksum.
written() {
    local what=$1 wanted=$2 found=no
    shift 2
    control reset
    orbit cp "$@" small s3://bucket/small
    exits 0 "$what"
    orbit stat --checksum s3://bucket/small
    grep -q crc64nvme .out && found=yes
    check "$what" is "$found" "$wanted"
}
written "by default" yes
AWS_REQUEST_CHECKSUM_CALCULATION=when_required written "when required" no
AWS_REQUEST_CHECKSUM_CALCULATION=When_Supported written "when supported" yes
AWS_REQUEST_CHECKSUM_CALCULATION=when_required written "asked for all the same" yes --checksum-algorithm CRC64NVME
AWS_REQUEST_CHECKSUM_CALCULATION=when_required written "asked for by setting" yes -o checksum=crc64nvme
AWS_REQUEST_CHECKSUM_CALCULATION=when_supported written "none by setting" no -o checksum=none
profile "request_checksum_calculation = when_required"
written "the profile's when_required" no
AWS_REQUEST_CHECKSUM_CALCULATION=when_supported written "the environment goes before it" yes
profile

# ---- checksums of reads
# asked WHAT yes|no COMMAND…: whether it asks for the stored checksum, which the endpoint refuses here.
asked() {
    local what=$1 wanted=$2
    shift 2
    control reset
    "$ORBIT" cp small s3://bucket/small >/dev/null || failed "a put for $what"
    control "set?checksum_mode=0"
    orbit "$@"
    exits 0 "$what"
    check "$what" is "$(refusals)" "$wanted"
    control "set?checksum_mode=1"
}
asked "cat" 1 cat s3://bucket/small
asked "stat" 1 stat s3://bucket/small
asked "cat, off by setting" 0 cat -o ask_checksums=false s3://bucket/small
asked "stat, off" 0 stat -o ask_checksums=false s3://bucket/small
asked "a download, off" 0 cp -o ask_checksums=false s3://bucket/small got
AWS_RESPONSE_CHECKSUM_VALIDATION=when_required asked "when required" 0 cat s3://bucket/small
AWS_RESPONSE_CHECKSUM_VALIDATION=when_supported asked "when supported" 1 cat s3://bucket/small
AWS_RESPONSE_CHECKSUM_VALIDATION=when_required asked "the setting goes before it" 1 cat -o ask_checksums=true s3://bucket/small
AWS_RESPONSE_CHECKSUM_VALIDATION=when_required asked "all of them are to be compared" 1 \
    cp --verify=full s3://bucket/small got
AWS_RESPONSE_CHECKSUM_VALIDATION=when_required asked "they are to be shown" 1 stat --checksum s3://bucket/small
profile "response_checksum_validation = when_required"
asked "the profile's when_required" 0 cat s3://bucket/small
AWS_RESPONSE_CHECKSUM_VALIDATION=when_supported asked "the environment goes before it" 1 cat s3://bucket/small

# ---- endpoints
profile "region = us-east-1" "endpoint_url = http://127.0.0.1:1" "services = here" "[services here]" "s3 =" \
    "  endpoint_url = http://127.0.0.1:$port"
reached() {
    orbit cat --retry-count 0 "$@" s3://bucket/small
    exits 0 "$what"
}
unconfigured() {
    orbit cat --retry-count 0 s3://bucket/small
    exits 5 "$what"
    says "$what" "bucket.s3.us-east-1.amazonaws.com"
}
missed() {
    orbit cat --retry-count 0 "$@" s3://bucket/small
    exits 5 "$what"
    says "$what" "127.0.0.1:1[^0-9]"
}
(
    unset AWS_ENDPOINT_URL AWS_REGION
    what="the profile's services" reached
    what="unsigned requests go there, too" orbit cat --no-sign-request s3://bucket/small
    exits 4 "unsigned requests go there, too"
    what="AWS_ENDPOINT_URL_S3 goes before AWS_ENDPOINT_URL" AWS_ENDPOINT_URL_S3=http://127.0.0.1:$port \
        AWS_ENDPOINT_URL=http://127.0.0.1:1 reached
    what="AWS_ENDPOINT_URL goes before the profile" AWS_ENDPOINT_URL=http://127.0.0.1:1 missed
    what="a given one goes before all" AWS_ENDPOINT_URL_S3=http://127.0.0.1:1 reached --endpoint-url "http://127.0.0.1:$port"
    export http_proxy=http://127.0.0.1:1 https_proxy=http://127.0.0.1:1 no_proxy="127.0.0.1" # AWS is not asked
    for ignored in environment profile; do
        if [ $ignored = environment ]; then
            export AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true
        else
            unset AWS_IGNORE_CONFIGURED_ENDPOINT_URLS
            sed -i 's/^region.*/&\nignore_configured_endpoint_urls = true/' home/.aws/config
        fi
        what="ignored by the $ignored: one that is given counts" \
            AWS_ENDPOINT_URL_S3=http://127.0.0.1:1 reached --endpoint-url "http://127.0.0.1:$port"
        what="ignored by the $ignored" AWS_ENDPOINT_URL_S3=http://127.0.0.1:$port S3_ENDPOINT_URL=http://127.0.0.1:$port \
            unconfigured
    done
    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=false what="the environment goes before the profile" reached
    AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=perhaps orbit cat s3://bucket/small
    exits 2 "neither true nor false"
    says "neither true nor false" "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is 'perhaps': true or false is expected"
    echo "$checks $failures" >.counted
)
read -r checks failures <.counted
cat >home/.aws/config <<END
[profile role]
role_arn = arn:aws:iam::1:role/plain
credential_source = Environment
services = here
[services here]
sts =
  endpoint_url = http://127.0.0.1:$port/_grant/sts
END
orbit cat --profile role -o endpoint="http://127.0.0.1:$port" s3://bucket/small
exits 4 "AWS_ENDPOINT_URL goes before the profile's STS, and is none"
says "AWS_ENDPOINT_URL goes before the profile's STS, and is none" "STS, asked for the role"
(
    unset AWS_ENDPOINT_URL
    orbit cat --profile role --endpoint-url "http://127.0.0.1:$port" s3://bucket/small
    exits 0 "a role by the profile's STS"
    echo "$checks $failures" >.counted
)
read -r checks failures <.counted

# ---- who signs the endpoint
profile "ca_bundle = $work/nowhere.pem"
orbit cat -o endpoint=https://127.0.0.1:$port --retry-count 0 s3://bucket/small
says "the profile's ca_bundle" "nowhere.pem"
AWS_CA_BUNDLE=$work/other.pem orbit cat -o endpoint=https://127.0.0.1:$port --retry-count 0 s3://bucket/small
says "AWS_CA_BUNDLE goes before it" "other.pem"
profile

for bad in 99999 0 1x ""; do
    orbit cat --endpoint-url "http://127.0.0.1:$bad" s3://bucket/small
    exits 2 "the port '$bad'"
    says "the port '$bad'" "the S3 endpoint 'http://127.0.0.1:$bad' has no port from 1 to 65535"
done
orbit cat --endpoint-url "http://[::1]:$port" --retry-count 0 s3://bucket/small
exits 5 "an address in brackets, where nobody listens"

http_proxy=http://127.0.0.1:1 orbit cat --retry-count 0 s3://bucket/small
exits 5 "a proxy that is not there"
says "a proxy that is not there" "cannot connect to 127.0.0.1:$port through the proxy of the environment: connection refused"
http_proxy=http://127.0.0.1:1 no_proxy=127.0.0.1 orbit cat --retry-count 0 --endpoint-url http://127.0.0.1:2 s3://bucket/small
says "no proxy, and nobody there" "cannot connect to 127.0.0.1:2: connection refused"

# ---- flags by their names there
orbit ls --human-readable --no-progress s3://bucket
exits 0 "ls --human-readable --no-progress"
orbit cp --only-show-errors --follow-symlinks small s3://bucket/quiet
exits 0 "cp --only-show-errors --follow-symlinks"
check "--only-show-errors" test ! -s .out
orbit cp --metadata "a b=c" small s3://bucket/blank
exits 2 "a blank in a name of metadata"
says "a blank in a name of metadata" "names are made of letters, digits and signs such as - and _, and no value has control"

# ---- who pays
for payer in --request-payer --request-payer=requester "--request-payer requester" "-o request_payer=requester" \
    "-o request_payer=true" "-o request_payer=false"; do
    # shellcheck disable=SC2086
    orbit ls $payer s3://bucket
    exits 0 "$payer"
done
orbit ls --request-payer=me s3://bucket
exits 2 "--request-payer=me"
says "--request-payer=me" "takes no value but requester, not 'me'"
orbit ls -o request_payer=me s3://bucket
usage "-o request_payer=me" "the S3 setting request_payer is 'me': requester, true or false is expected"
orbit presign -o request_payer=requester s3://bucket/small
prints "the same by setting" "x-amz-request-payer=requester"
orbit presign -o request_payer=false s3://bucket/small
check "a presigned URL that its owner pays" bash -c '! grep -q payer .out'
orbit presign --request-payer requester s3://bucket/small
prints "a presigned URL that the requester pays" "x-amz-request-payer=requester"

# ---- words that are none
profile
AWS_RESPONSE_CHECKSUM_VALIDATION=never orbit cat s3://bucket/small
exits 2 "no word of the tools'"
says "no word of the tools'" "AWS_RESPONSE_CHECKSUM_VALIDATION is 'never': when_supported or when_required is expected"
profile "request_checksum_calculation = sometimes"
orbit cat s3://bucket/small
exits 2 "nor in a profile"
says "nor in a profile" "request_checksum_calculation is 'sometimes': when_supported or when_required is expected"
profile
for tries in many 0 -1 99999; do
    AWS_MAX_ATTEMPTS=$tries orbit cat s3://bucket/small
    usage "AWS_MAX_ATTEMPTS=$tries" "AWS_MAX_ATTEMPTS is '$tries': a number of tries, 1 to 10000, is expected"
    profile "max_attempts = $tries"
    orbit cat s3://bucket/small
    usage "max_attempts = $tries" "max_attempts is '$tries': a number of tries, 1 to 10000, is expected"
    profile
done
AWS_MAX_ATTEMPTS=many orbit cat --retry-count 0 s3://bucket/small
exits 0 "the flag goes before AWS_MAX_ATTEMPTS"
AWS_EC2_METADATA_DISABLED=maybe orbit cat s3://bucket/small
exits 2 "AWS_EC2_METADATA_DISABLED=maybe"
says "AWS_EC2_METADATA_DISABLED=maybe" "AWS_EC2_METADATA_DISABLED is 'maybe': true or false is expected"
AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=ipv5 orbit cat s3://bucket/small
exits 2 "an address family that is none"
says "an address family that is none" "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE is 'ipv5': IPv4 or IPv6 is expected"
AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE=IPV6 orbit cat s3://bucket/small
exits 0 "an address family"
control "fault?op=GetObject&status=503&code=SlowDown&count=2"
AWS_MAX_ATTEMPTS=2 orbit cat s3://bucket/small
exits 5 "two tries"
control clear
control "fault?op=GetObject&status=503&code=SlowDown&count=2"
AWS_MAX_ATTEMPTS=3 orbit cat s3://bucket/small
exits 0 "three tries"
# tries WHAT EXIT: of a store that refuses twice.
tries() {
    control "fault?op=GetObject&status=503&code=SlowDown&count=2"
    orbit cat s3://bucket/small
    exits "$2" "$1"
    control clear
}
profile "max_attempts = 2" "retry_mode = adaptive"
tries "two tries by the profile" 5
AWS_MAX_ATTEMPTS=3 tries "the environment goes before the profile" 0
profile "max_attempts = 3" "retry_mode = standard"
tries "three tries by the profile" 0
profile
orbit cat -o ask_checksums=perhaps s3://bucket/small
exits 2 "nor as a setting"
orbit ls 's3://bucket?ask_checksums=perhaps'
exits 2 "nor in a URL"
says "nor as a setting" "the S3 setting ask_checksums is 'perhaps': true or false is expected"

# ---- a profile that nobody named and nothing is needed of
printf '[default\n' >home/.aws/config
orbit cat s3://bucket/small
exits 0 "a broken file that nothing is needed of"
AWS_REGION='' orbit cat s3://bucket/small
exits 2 "a broken file"
says "a broken file" "line 1: the section's name has no"

finish
