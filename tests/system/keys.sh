#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where credentials come from: every provider against the scripted services, what goes wrong with them, and that no
# secret is ever told.
. "$(dirname "$0")/lib.sh" || exit 1

secret=keys-of-the-endpoint
start_s3d --secret "$secret"
grants="http://127.0.0.1:$port/_grant"
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
export HOME=$work/home AWS_EC2_METADATA_DISABLED=true ORBIT_LOG=debug
export AWS_ENDPOINT_URL_STS=$grants/sts AWS_ENDPOINT_URL_SSO=$grants/sso
mkdir -p home/.aws/sso/cache
echo hello >small
now() { date -u +%Y-%m-%dT%H:%M:%SZ "$@"; }
count() { curl -sf "http://127.0.0.1:$port/_control/stats" | grep -o "\"$1\":[0-9]*" | head -n 1 | grep -o '[0-9]*$'; }
# works WHAT [FLAG…]: an object can be put.
works() {
    local what=$1
    shift
    orbit cp "$@" small s3://bucket/small
    exits 0 "$what"
    cat .out .err >>told
}
# fails CODE WHAT REGEX [FLAG…]: it cannot, and one error line says why.
fails() {
    local wanted=$1 what=$2 regex=$3
    shift 3
    orbit cp "$@" small s3://bucket/small
    exits "$wanted" "$what"
    says "$what" "$regex"
    cat .out .err >>told
}

cat >home/.aws/credentials <<END
# comment
[static]
aws_access_key_id = key
aws_secret_access_key=$secret   # with a comment
[half]
aws_access_key_id = key
[wrong]
aws_access_key_id = key
aws_secret_access_key = not-it-swordfish
END
cat >home/.aws/config <<END
[default]
output = json
[profile role]
role_arn = arn:aws:iam::1:role/plain
source_profile = static
[profile strict]
role_arn = arn:aws:iam::1:role/strict
source_profile = static
external_id = ext-42
role_session_name = sess
[profile chained]
role_arn = arn:aws:iam::1:role/plain
source_profile = strict
[profile mfa]
role_arn = arn:aws:iam::1:role/mfa
source_profile = static
mfa_serial = arn:aws:iam::1:mfa/me
[profile denied]
role_arn = arn:aws:iam::1:role/denied
source_profile = static
[profile lost]
role_arn = arn:aws:iam::1:role/plain
source_profile = nowhere
[profile a]
role_arn = arn:aws:iam::1:role/plain
source_profile = b
[profile b]
role_arn = arn:aws:iam::1:role/plain
source_profile = a
[profile by-environment]
role_arn = arn:aws:iam::1:role/plain
credential_source = Environment
[profile by-container]
role_arn = arn:aws:iam::1:role/plain
credential_source = EcsContainer
[profile odd]
role_arn = arn:aws:iam::1:role/plain
credential_source = Moon
[profile web]
role_arn = arn:aws:iam::1:role/plain
web_identity_token_file = $work/web
[profile program]
credential_process = "$work/with blank/give" 'two words' keys
[profile silent]
credential_process = $work/silent
[profile failing]
credential_process = $work/failing swordfish
[profile noversion]
credential_process = $work/noversion
[profile stale]
credential_process = $work/stale
[profile flood]
credential_process = cat /dev/zero
[profile hanging]
credential_process = $work/hanging
[profile missing]
credential_process = $work/is-not-there
[profile quote]
credential_process = "open
[profile shell]
credential_process = $work/shell; touch $work/touched
[sso-session corp]
sso_start_url = https://corp.example/start
sso_region = us-east-1
[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Reader
[profile sso-no]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Owner
[profile sso-old]
sso_start_url = https://old.example/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = Reader
[profile place]
region = eu-nowhere-1
services = here
[services here]
s3 =
  endpoint_url = http://127.0.0.1:$port
END

# ---- given keys, the environment, the order
fails 4 "nothing configured" "no S3 credentials: set AWS_ACCESS_KEY_ID"
AWS_ACCESS_KEY_ID=key fails 4 "half of the environment" "AWS_SECRET_ACCESS_KEY is not"
AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=$secret works "the environment"
AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=$secret AWS_PROFILE=wrong works "the environment goes before AWS_PROFILE"
AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=not-it works "--profile goes before the environment" --profile static

# ---- profiles
works "static keys of a profile" --profile static
AWS_PROFILE=static works "AWS_PROFILE"
works "a role" --profile role
works "a role with an external id and a session's name" --profile strict
works "a role by a role" --profile chained
works "a profile of one side" --destination-profile static
mv home/.aws/config config && mv home/.aws/credentials credentials
AWS_CONFIG_FILE=config AWS_SHARED_CREDENTIALS_FILE=credentials works "files elsewhere" --profile role
works "files by option" --profile role -o config_file=config -o credentials_file=credentials
fails 2 "a profile without files" "the profile 'role' is neither in '.*/home/.aws/config' nor in" --profile role
mv config home/.aws/config && mv credentials home/.aws/credentials
fails 2 "a profile that is not there" "the profile 'nix' is neither in '.*/.aws/config' nor in '.*/.aws/credentials'" \
    --profile nix
fails 2 "half of the keys" "the profile 'half' has aws_access_key_id, but no aws_secret_access_key" --profile half
fails 4 "keys that are wrong" "SignatureDoesNotMatch" --profile wrong
fails 4 "a role that is denied" "STS, asked for the role '.*denied', refused: AccessDenied" --profile denied
fails 2 "a circle" "make a circle: a -> b -> a" --profile a
fails 2 "a source that is not there" "source_profile 'nowhere' of the profile 'lost' is neither in" --profile lost
fails 2 "an odd credential_source" "'Moon'" --profile odd
AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=$secret works "a role by the environment's keys" --profile by-environment
printf '[profile x\n' >broken
AWS_CONFIG_FILE=broken fails 2 "a broken file" "'broken', line 1: the section's name has no" --profile x
if [ "$(id -u)" != 0 ]; then
    chmod 0 broken
    AWS_CONFIG_FILE=broken fails 4 "a file that cannot be read" "cannot read the config file 'broken'" --profile x
fi

# ---- a code from a person
# typing CODE COMMAND…: on a terminal, where CODE is typed when the question comes; what was shown is in .out.
typing() {
    run python3 -c 'import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown, typed = b"", False
while True:
    try:
        some = os.read(terminal, 4096)
    except OSError:
        break
    if not some:
        break
    shown += some
    if b"MFA device" in shown and shown.endswith(b": ") and not typed:
        typed = True
        if sys.argv[1]:
            os.write(terminal, sys.argv[1].encode() + b"\n")
        else:
            os.write(terminal, b"\x03")
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))' "$@"
    cat .out >>told
}
fails_unasked() {
    run setsid "$ORBIT" cp --profile mfa small s3://bucket/small </dev/null
    exits 4 "$1"
    says "$1" "$2"
}
fails_unasked "no terminal to ask at" "no terminal to ask for the code of the MFA device 'arn:aws:iam::1:mfa/me' for the profile 'mfa'"
typing " 123 456" "$ORBIT" cp --profile mfa small s3://bucket/with-code
exits 0 "a code"
prints "a code" "orbit: the code of the MFA device 'arn:aws:iam::1:mfa/me' for the profile 'mfa': "
check "what is typed is not shown" bash -c "! grep -q 456 .out"
typing 654321 "$ORBIT" cp --profile mfa small s3://bucket/with-code
exits 4 "a wrong code"
prints "a wrong code" "STS, asked for the role '.*mfa', refused: AccessDenied"
typing seven "$ORBIT" cp --profile mfa small s3://bucket/with-code
exits 4 "no code"
prints "no code" "six digits are expected"
typing "" "$ORBIT" cp --profile mfa small s3://bucket/with-code
exits 130 "interrupted while it asks"

# ---- where the store is
(
    unset AWS_ENDPOINT_URL
    AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=$secret AWS_PROFILE=place AWS_REGION= "$ORBIT" cp small s3://bucket/placed
) >.out 2>.err
code=$?
exits 0 "endpoint and region of a profile, corrected by the store"
says "the region is learned" "is in region us-east-1, not eu-nowhere-1"

# ---- presigned URLs
orbit presign --profile role s3://bucket/small
exits 0 "a presigned URL by a role"
check "it is good" curl -sf "$(cat .out)" -o presigned
same "it is good" presigned small

# ---- web identity
printf web-token >web
works "a profile's web identity" --profile web
AWS_ROLE_ARN=arn:aws:iam::1:role/plain AWS_WEB_IDENTITY_TOKEN_FILE=$work/web works "a web identity"
AWS_WEB_IDENTITY_TOKEN_FILE=$work/web fails 2 "a web identity without a role" "AWS_ROLE_ARN is not"
AWS_ROLE_ARN=arn:aws:iam::1:role/plain AWS_WEB_IDENTITY_TOKEN_FILE=$work/no-web \
    fails 3 "no token file" "cannot read the web identity token '.*/no-web'"
printf swordfish-web >other-web
AWS_ROLE_ARN=arn:aws:iam::1:role/plain AWS_WEB_IDENTITY_TOKEN_FILE=$work/other-web \
    fails 4 "a token that is not accepted" "InvalidIdentityToken"

# ---- a program
mkdir "with blank"
cat >"with blank/give" <<END
#!/bin/sh
[ "\$1,\$2" = "two words,keys" ] && echo '{"Version": 1, "AccessKeyId": "key", "SecretAccessKey": "$secret"}'
END
printf '#!/bin/sh\necho "{"\n' >silent
printf '#!/bin/sh\necho swordfish-err >&2; exit 7\n' >failing
printf '#!/bin/sh\necho "{\\"AccessKeyId\\": \\"key\\", \\"SecretAccessKey\\": \\"swordfish\\"}"\n' >noversion
printf '#!/bin/sh\necho "{\\"Version\\": 1, \\"AccessKeyId\\": \\"key\\", \\"SecretAccessKey\\": \\"swordfish\\", \\"Expiration\\": \\"2020-01-01T00:00:00Z\\"}"\n' >stale
printf '#!/bin/sh\necho $$ >%s/hanging.pid; sleep 1000 & wait\n' "$work" >hanging
printf '#!/bin/sh\necho "{}"\n' >"shell;"
chmod +x "with blank/give" silent failing noversion stale hanging "shell;"
works "a program" --profile program
fails 4 "a program that prints no JSON" "credential_process '.*/silent' gave an answer that is no JSON object" --profile silent
fails 4 "a program that fails" "failed with exit code 7: run it by hand" --profile failing
fails 4 "no version" "without \"Version\": 1" --profile noversion
fails 4 "stale keys" "credentials that have expired already" --profile stale
fails 4 "a flood" "printed more than credentials can be" --profile flood
fails 2 "no such program" "cannot run credential_process '.*/is-not-there'" --profile missing
fails 2 "an open quote" "is no command" --profile quote
fails 4 "no shell" "gave no AccessKeyId|no JSON|without" --profile shell
absent "no shell" touched
fails 5 "a program that hangs" "did not end within 0.3 seconds" --profile hanging -o identity_timeout_ms=300 --retry-count 0
check "its whole group is gone" bash -c '! pgrep -r R,S,D -g "$(cat hanging.pid)" >/dev/null'

# ---- single sign-on
cache() { printf %s "$1" | sha1sum | cut -d ' ' -f 1; }
fails 4 "not logged in" "run 'aws sso login --profile sso'" --profile sso
printf '{"accessToken": "sso-token", "expiresAt": "%s"}' "$(now -d '1 hour')" >"home/.aws/sso/cache/$(cache corp).json"
works "single sign-on" --profile sso
fails 4 "a role that is not ours" "single sign-on refused" --profile sso-no
printf '{"accessToken": "sso-token", "expiresAt": "2020-01-01T00:00:00Z"}' \
    >"home/.aws/sso/cache/$(cache https://old.example/start).json"
fails 4 "the sign-on is over" "the single sign-on token has expired: run 'aws sso login" --profile sso-old
printf '{"accessToken": "swordfish", "expiresAt": "%s"}' "$(now -d '1 hour')" \
    >"home/.aws/sso/cache/$(cache https://old.example/start).json"
fails 4 "a token that is not accepted" "token was not accepted" --profile sso-old

# ---- a sign-on that is renewed
export AWS_ENDPOINT_URL_SSO_OIDC=$grants/oidc
corp=home/.aws/sso/cache/$(cache corp).json
# sign_on EXPIRES REFRESH [REGISTERED]: what 'aws sso login' left.
sign_on() {
    printf '{"startUrl": "https://corp.example/start", "region": "us-east-1", "accessToken": "%s", "expiresAt": "%s",
 "refreshToken": "%s", "clientId": "client", "clientSecret": "client-secret", "registrationExpiresAt": "%s", "other": 7}' \
        "${4:-swordfish-old}" "$1" "$2" "${3:-$(now -d '1 day')}" >"$corp"
    chmod 644 "$corp"
}
sign_on 2020-01-01T00:00:00Z refresh-token
works "a sign-on that has expired is renewed" --profile sso
check "the file has the new token" python3 -c '
import json, sys, time
cache = json.load(open(sys.argv[1]))
assert cache["accessToken"] == "sso-token" and cache["refreshToken"] == "refresh-token" and cache["other"] == 7
assert cache["clientId"] == "client" and cache["startUrl"] == "https://corp.example/start"
left = time.mktime(time.strptime(cache["expiresAt"], "%Y-%m-%dT%H:%M:%SZ")) - time.time()
assert 3000 < left < 3700, left' "$corp"
check "it is for its owner alone" is "$(stat -c %a "$corp")" 600
holds "no other file is left" home/.aws/sso/cache "$(cache corp).json" "$(cache https://old.example/start).json"
control clear
before=$(count Grant)
works "a token that is good is not renewed" --profile sso
check "a token that is good is not renewed" is "$(count Grant)" $((before + 1))
sign_on "$(now -d '5 minutes')" refresh-token
works "a sign-on that is about to end is renewed" --profile sso
check "it is renewed" grep -q '"accessToken": "sso-token"' "$corp"
sign_on "$(now -d '5 minutes')" swordfish-wrong "$(now -d '1 day')" sso-token
works "a token that cannot be renewed is used to its end" --profile sso
sign_on 2020-01-01T00:00:00Z swordfish-wrong
fails 4 "a refresh token that is not good" "the single sign-on token has expired: run 'aws sso login" --profile sso
sign_on 2020-01-01T00:00:00Z refresh-token 2020-01-01T00:00:00Z
fails 4 "a registration that is over" "the single sign-on token has expired: run 'aws sso login" --profile sso
sign_on 2020-01-01T00:00:00Z refresh-token
AWS_ENDPOINT_URL_SSO_OIDC=http://127.0.0.1:1 fails 5 "a service that is not there" "127.0.0.1" --profile sso --retry-count 0
if [ "$(id -u)" != 0 ]; then
    chmod 555 home/.aws/sso/cache
    works "a token that cannot be kept is used" --profile sso
    chmod 755 home/.aws/sso/cache
fi

# ---- containers and instances
printf 'container-token\n' >container
(
    export AWS_CONTAINER_CREDENTIALS_FULL_URI=$grants/container
    AWS_CONTAINER_AUTHORIZATION_TOKEN=container-token works "a container's token"
    AWS_CONTAINER_AUTHORIZATION_TOKEN=swordfish AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$work/container \
        works "a container's token file goes first"
    AWS_CONTAINER_AUTHORIZATION_TOKEN=container-token works "a role by the container" --profile by-container
    AWS_CONTAINER_AUTHORIZATION_TOKEN=swordfish fails 4 "a container's wrong token" "credentials endpoint refused"
    AWS_CONTAINER_CREDENTIALS_FULL_URI=http://example.com/x AWS_CONTAINER_AUTHORIZATION_TOKEN=swordfish \
        fails 2 "a container's token goes to nobody else" "it must be https, or http on this machine"
    AWS_EC2_METADATA_DISABLED= AWS_EC2_METADATA_SERVICE_ENDPOINT=$grants/imds/ AWS_CONTAINER_CREDENTIALS_FULL_URI= \
        works "an instance"
    AWS_EC2_METADATA_SERVICE_ENDPOINT=$grants/imds AWS_CONTAINER_CREDENTIALS_FULL_URI= \
        fails 4 "an instance that is switched off" "no S3 credentials"
    echo "$checks $failures" >.counts
)
read -r checks failures <.counts

# ---- clocks
control "set?clock_offset_s=1200"
works "a clock that is 20 minutes slow" --profile static
works "also for roles" --profile role
control "set?clock_offset_s=-1200"
works "a clock that is 20 minutes fast" --profile role
says "it is told" "the clock of STS is -1[12][0-9]* seconds ahead of ours"
works "a role by a role" --profile chained
check "the clock is learned once" is "$(grep -c 'the clock of STS is' .err)" 1
control "set?clock_offset_s=0"

# ---- many requests, one fetch
control reset
mkdir many
for i in $(seq 40); do echo "$i" >"many/$i"; done
control "fault?op=Grant&latency_ms=200"
orbit cp --profile role many s3://bucket/many
exits 0 "many objects by a role"
check "one fetch for all" is "$(count Grant)" 1

# ---- keys that end while an upload is under way: renewed ahead of time, and when the store says so
bytes 20971520 >large
for identity in role web; do
    control reset
    control "set?grant_life_ms=1000&bandwidth=4M"
    orbit cp --profile $identity --part-size 5 --concurrency 2 large s3://bucket/large
    exits 0 "a $identity that ends during an upload"
    check "it was renewed at least twice" test "$(count Grant)" -ge 3
    cat .err >>told
    control "set?bandwidth=0&grant_life_ms=3600000"
    AWS_PROFILE=static orbit cat s3://bucket/large
    same "and the object is whole" .out large
    control reset
    control "fault?op=Grant&latency_ms=200"
    control "set?grant_true_ms=900&bandwidth=4M"
    orbit cp --profile $identity --part-size 5 --concurrency 2 large s3://bucket/large
    exits 0 "keys of a $identity that end before they said"
    check "they were renewed at least twice, too" test "$(count Grant)" -ge 3
    cat .err >>told
    control "set?bandwidth=0&grant_true_ms=0"
    AWS_PROFILE=static orbit cat s3://bucket/large
    same "parts that waited for keys are the right ones" .out large
done
control reset
control "fault?op=PutObject&status=400&code=ExpiredToken"
fails 4 "keys that are never good" "ExpiredToken" --profile role
check "they were asked for twice" is "$(count Grant)" 2
control clear

# ---- no secret anywhere
check "the log says where keys come from" grep -q "s3: credentials from a profile, valid for" told
check "no secret is told" bash -c "! grep -Eq '$secret|swordfish|granted-token|web-token|sso-token|container-token|imds-token|refresh-token|client-secret' told"
"$ORBIT" cp --profile role large s3://bucket/large >.out 2>.err &
pid=$!
check "no secret is an argument" bash -c "! tr '\\0' ' ' </proc/$pid/cmdline | grep -Eq '$secret|token'"
wait $pid
code=$?
exits 0 "the last one"

finish
