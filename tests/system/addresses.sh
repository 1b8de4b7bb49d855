#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where buckets are, by options, environment and profile. Nothing is sent: signed URLs tell host, path and scope.
. "$(dirname "$0")/lib.sh" || exit 1

unset AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 S3_ENDPOINT_URL AWS_DEFAULT_REGION AWS_PROFILE
export AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_REGION=us-west-2
export AWS_CONFIG_FILE=$work/config AWS_SHARED_CREDENTIALS_FILE=$work/none
cat >config <<'END'
[default]
region = eu-west-1
[profile wide]
region = eu-central-1
use_dualstack_endpoint = true
use_fips_endpoint = false
[profile fast]
s3 =
    use_accelerate_endpoint = true
    addressing_style = virtual
[profile paths]
s3 =
    addressing_style = path
    use_arn_region = false
[profile broken]
use_fips_endpoint = perhaps
END
sed -i 's/^\(\[profile .*\)$/\1\naws_access_key_id = key\naws_secret_access_key = secret/' config

# at WHAT URL [SCOPE] -- ARGUMENTS: the address without its query, and region/service that it is signed for.
at() {
    local what=$1 expected=$2 scope=us-west-2/s3
    shift 2
    if [ "$1" != -- ]; then
        scope=$1
        shift
    fi
    shift
    orbit presign "$@"
    exits 0 "$what"
    check "$what: the address" is "$(sed 's/?.*//' .out)" "$expected"
    prints "$what: the scope" "%2F${scope/\//%2F}%2Faws4_request&"
}
ap=arn:aws:s3:us-west-2:123456789012:accesspoint

at "a bucket" https://mine.s3.us-west-2.amazonaws.com/dir/key -- s3://mine/dir/key
at "a bucket with a dot" https://s3.us-west-2.amazonaws.com/my.bucket/key -- s3://my.bucket/key
at "path style" https://s3.us-west-2.amazonaws.com/mine/key -- --addressing-style path s3://mine/key
at "China" https://mine.s3.cn-north-1.amazonaws.com.cn/key cn-north-1/s3 -- --region cn-north-1 s3://mine/key
at "dual-stack" https://mine.s3.dualstack.us-west-2.amazonaws.com/key -- -o use_dualstack=true s3://mine/key
at "FIPS" https://mine.s3-fips.us-west-2.amazonaws.com/key -- -o use_fips=true s3://mine/key
at "acceleration" https://mine.s3-accelerate.amazonaws.com/key -- -o use_accelerate=true s3://mine/key
at "the endpoint's region" https://s3.us-west-004.backblazeb2.com/mine/key us-west-004/s3 -- \
    --endpoint-url https://s3.us-west-004.backblazeb2.com s3://mine/key
at "the store's region" https://a1.r2.cloudflarestorage.com/mine/key auto/s3 -- \
    --endpoint-url https://a1.r2.cloudflarestorage.com s3://mine/key
at "the region that is given" https://a1.r2.cloudflarestorage.com/mine/key weur/s3 -- \
    --endpoint-url https://a1.r2.cloudflarestorage.com --region weur s3://mine/key

# ---- access points: the ARN is the bucket, what is behind it the key
at "an access point" https://reports-123456789012.s3-accesspoint.us-west-2.amazonaws.com/dir/key -- s3://$ap/reports/dir/key
at "with a colon" https://reports-123456789012.s3-accesspoint.us-west-2.amazonaws.com/dir/key -- s3://$ap:reports/dir/key
at "of another region" https://reports-123456789012.s3-accesspoint.us-west-2.amazonaws.com/key -- \
    --region eu-west-1 s3://$ap/reports/key
at "on an outpost" https://r-123456789012.op-0123.s3-outposts.us-west-2.amazonaws.com/a/b us-west-2/s3-outposts -- \
    s3://arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-0123/accesspoint/r/a/b
at "Object Lambda" https://r-123456789012.s3-object-lambda.us-west-2.amazonaws.com/a us-west-2/s3-object-lambda -- \
    s3://arn:aws:s3-object-lambda:us-west-2:123456789012:accesspoint/r/a
orbit presign s3://arn:aws:s3::123456789012:accesspoint/alias.mrap/key
usage "a multi-Region access point" 'SigV4A, which Orbit does not do'
orbit presign s3://$ap/reports
exits 1 "an access point without a key"
says "an access point without a key" 'it is a bucket'

# ---- environment and profile
AWS_USE_DUALSTACK_ENDPOINT=true AWS_USE_FIPS_ENDPOINT=true at "by the environment" \
    https://mine.s3-fips.dualstack.us-west-2.amazonaws.com/key -- s3://mine/key
AWS_USE_FIPS_ENDPOINT=true at "the option goes first" https://mine.s3.us-west-2.amazonaws.com/key -- \
    -o use_fips=false s3://mine/key
AWS_USE_FIPS_ENDPOINT=true at "an endpoint of one's own" http://127.0.0.1:9/mine/key -- \
    --endpoint-url http://127.0.0.1:9 s3://mine/key
AWS_USE_DUALSTACK_ENDPOINT=maybe orbit presign s3://mine/key
usage "neither true nor false" "AWS_USE_DUALSTACK_ENDPOINT is 'maybe'"
orbit presign --endpoint-url http://127.0.0.1:9 -o use_fips=true s3://mine/key
usage "FIPS with an endpoint" 'use_fips does not go with an endpoint of your own'

unset AWS_REGION
at "a profile's dual-stack" https://mine.s3.dualstack.eu-central-1.amazonaws.com/key eu-central-1/s3 -- \
    --profile wide s3://mine/key
export AWS_REGION=us-west-2
AWS_USE_DUALSTACK_ENDPOINT=false at "the environment goes before it" https://mine.s3.us-west-2.amazonaws.com/key -- \
    --profile wide s3://mine/key
at "a profile's acceleration" https://mine.s3-accelerate.amazonaws.com/key -- --profile fast s3://mine/key
at "a profile's style" https://s3.us-west-2.amazonaws.com/mine/key -- --profile paths s3://mine/key
orbit presign --profile paths --region eu-west-1 --addressing-style virtual s3://$ap/reports/key
usage "use_arn_region = false" 'use_arn_region=false rules out'
at "an endpoint that is an address takes no name before it" http://127.0.0.1:9/mine/key -- \
    --endpoint-url http://127.0.0.1:9 -o addressing=virtual s3://mine/key
at "nor by a profile" "http://[::1]:9/mine/key" -- --endpoint-url "http://[::1]:9" --profile fast -o use_accelerate=false \
    s3://mine/key
orbit presign --endpoint-url http://127.0.0.1:9 s3://$ap/reports/key
usage "an access point at an address" 'cannot be reached at an endpoint that is an address'
orbit presign --profile broken s3://mine/key
usage "a profile's nonsense" "use_fips_endpoint is 'perhaps'"

finish
