#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Services that grant credentials and answer with anything: each time one sentence that names the service, in bounded memory
# and time, and nothing of what came.
. "$(dirname "$0")/lib.sh" || exit 1

secret=keys-of-the-endpoint
start_s3d --secret "$secret"
grants="http://127.0.0.1:$port/_grant"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
export HOME=$work/home AWS_EC2_METADATA_DISABLED=true AWS_ENDPOINT_URL_STS=$grants/sts
mkdir -p home/.aws
echo hello >small
cat >home/.aws/config <<END
[profile role]
role_arn = arn:aws:iam::1:role/plain
source_profile = static
[profile static]
aws_access_key_id = key
aws_secret_access_key = $secret
END

# answer HEAD BODY [MORE]: what the services answer with from now on; printf's escapes count. MORE: more of the rule.
answer() {
    local text
    text=$(printf "HTTP/1.1 $1\\r\\nContent-Length: $(printf "$2" | wc -c)\\r\\n\\r\\n$2" | od -An -v -tx1 | tr -d '\n' | tr ' ' '%')
    control clear
    control "fault?op=Grant&close=1&say=$text${3:-}"
}
# flood BYTES: without an end.
flood() {
    control clear
    control "fault?op=Grant&close=1&say=HTTP/1.1%20200%20OK%0d%0a$1&times=400000"
}
# told WHAT REGEX [FLAG…]: that is what a user is told.
told() {
    local what=$1 regex=$2 begun=$SECONDS
    shift 2
    run timeout 60 "$MAXRSS" "$work/.rss" "$ORBIT" cp --retry-count 0 "$@" small s3://bucket/small
    says_once "$what" "$regex"
    checks=$((checks + 2))
    [ "$code" != 0 ] || failed "$what (it works)"
    [ $((SECONDS - begun)) -le 20 ] || failed "$what (it took $((SECONDS - begun)) s)"
    check "$what: nothing of the answer is told" bash -c '! grep -q swordfish .err'
    [ -z "${RSS_TELLS:-}" ] || check "$what: memory" [ "$(cat .rss)" -le 32768 ]
}
by_sts() { told "STS: $1" "STS.*$2" --profile role; }
by_container() {
    AWS_CONTAINER_CREDENTIALS_FULL_URI=$grants/container AWS_CONTAINER_AUTHORIZATION_TOKEN=container-token \
        told "a container: $1" "the container's credentials endpoint.*$2"
}
by_instance() {
    AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=$grants/imds told "an instance: $1" "$2"
}
nobody="no S3 credentials: .*no container or instance offers any"
reached="no S3 credentials: .*\\(the instance metadata service at $grants/imds"
no_json="the instance metadata service gave an answer that is no JSON object"
keys='"Code": "Success", "AccessKeyId": "ASIAX", "SecretAccessKey": "swordfish", "Token"'
sts_keys='<R><AccessKeyId>ASIAX</AccessKeyId><SecretAccessKey>swordfish</SecretAccessKey><SessionToken>'

answer "200 OK" "<html>swordfish"
by_sts "a page" "'arn:aws:iam::1:role/plain', gave an answer that cannot be read: the reply's XML is cut short"
by_container "a page" "gave an answer that is no JSON object"
by_instance "a page" "$no_json"
answer "200 OK" ""
by_sts "nothing" "gave an answer that cannot be read"
by_container "nothing" "gave an answer that is no JSON object"
by_instance "nothing" "$reached has no role for this instance\\)"
answer "200 OK" "{}"
by_container "no members" "gave no AccessKeyId"
by_instance "no members" "the instance metadata service gave no AccessKeyId"
answer "200 OK" "<R/>"
by_sts "no elements" "gave no credentials"
answer "302 Found\\r\\nLocation: http://127.0.0.1:$port/elsewhere" "swordfish"
by_sts "a redirect" "refused \\(HTTP 302\\)"
by_container "a redirect" "refused \\(HTTP 302\\)"
by_instance "a redirect" "$reached refused a token \\(HTTP 302\\)\\)"
answer "403 Forbidden" "swordfish"
by_instance "disabled" "$reached refused a token \\(HTTP 403\\): it is disabled on this instance\\)"
AWS_EC2_METADATA_DISABLED=true AWS_EC2_METADATA_SERVICE_ENDPOINT=$grants/imds told "an instance: not asked" "$nobody"
AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:1 AWS_EC2_METADATA_DISABLED=false \
    told "an instance: nobody listens" "$nobody"
cat >>home/.aws/config <<END
[profile here]
role_arn = arn:aws:iam::1:role/plain
credential_source = Ec2InstanceMetadata
END
AWS_EC2_METADATA_DISABLED=false AWS_EC2_METADATA_SERVICE_ENDPOINT=$grants/imds/ told "an instance: a profile's" \
    "wants keys of 'Ec2InstanceMetadata', and there are none: the instance metadata service at $grants/imds refused" \
    --profile here
answer "500 Oops" "swordfish"
by_sts "a proxy's error" "refused \\(HTTP 500\\)"
by_container "a proxy's error" "refused \\(HTTP 500\\)"
by_instance "a proxy's error" "the instance metadata service at $grants/imds refused \\(HTTP 500\\)"
control clear
control "fault?op=Grant&reset=before"
by_instance "the connection closed" "$reached gives no token: .*\\)"
answer "200 OK" "{$keys: \"t\", \"Expiration\": \"2020-01-01T00:00:00Z\"}"
by_container "the past" "gave credentials that have expired already"
answer "200 OK" "{$keys: \"t\", \"Expiration\": \"swordfish\"}"
by_container "no time" "gave an Expiration that is no time"
answer "200 OK" "{$keys: \"sword\\\\nfish\"}"
by_container "a line's end in a token" "blanks or control characters"
answer "200 OK" "{$keys: \"sword\\\\u0000fish\"}"
by_container "NUL, escaped" "gave an answer that is no JSON object"
answer "200 OK" "{$keys: \"sword\\000fish\"}"
by_container "NUL" "no JSON object|cannot be asked"
answer "200 OK" "${sts_keys}t</SessionToken><Expiration>2020-01-01T00:00:00Z</Expiration></R>"
by_sts "the past" "gave credentials that have expired already"
answer "200 OK" "${sts_keys}t</SessionToken><Expiration>swordfish</Expiration></R>"
by_sts "no time" "gave credentials that have expired already"
answer "200 OK" "${sts_keys}sword&#10;fish</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></R>"
by_sts "a line's end in a token" "blanks or control characters"
answer "200 OK" "$(printf '[%.0s' {1..5000})"
by_container "depth" "gave an answer that is no JSON object"
answer "200 OK" "$(printf '<a>%.0s' {1..5000})"
by_sts "depth" "gave an answer that cannot be read"
flood "%0d%0a&again=swordfish-swordfish-swordfish-swordfish-swordfish-swordfish"
by_sts "no end" "cannot be (asked|read)"
by_container "no end" "cannot be asked|no JSON"
by_instance "no end" "$reached gives no token|$no_json"
flood "&again=X-Sword:%20swordfish-swordfish-swordfish%0d%0a"
by_sts "headers without end" "cannot be asked"
by_container "headers without end" "cannot be asked"
by_instance "headers without end" "$reached gives no token"
control clear
control "fault?op=Grant&latency_ms=30000"
by_sts "silence" "cannot be asked: .*no answer in time"
by_container "silence" "cannot be asked: .*no answer in time"
by_instance "silence" "$reached does not answer: in a container its hop limit must be 2\\)"

finish
