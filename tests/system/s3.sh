#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command against an S3 endpoint: verbs, and what it says when something is wrong.
. "$(dirname "$0")/lib.sh" || exit 1

start_s3d --bucket other
bytes 30000000 >data
mkdir -p tree/sub && echo one >tree/a.txt && echo two >tree/sub/b.txt && bytes 70000 >tree/c.bin

# ---- there and back
orbit cp data s3://bucket/dir/
exits 0 "cp to S3"
prints_exactly "cp to S3 says what it did" "cp data s3://bucket/dir/data"
orbit cp s3://bucket/dir/data back
exits 0 "cp from S3"
same "there and back" data back
orbit cat s3://bucket/dir/data
same "cat" .out data
orbit cat --range 100-199 s3://bucket/dir/data
check "a range" cmp -s .out <(tail -c +101 data | head -c 100)
orbit cat --range -100 s3://bucket/dir/data
check "the last bytes" cmp -s .out <(tail -c 100 data)
"$ORBIT" put s3://bucket/piped <data >.out
orbit cp s3://bucket/piped -
same "through pipes" .out data
bytes 30000000 | "$ORBIT" put s3://bucket/piped2 >.out 2>.err
code=$?
exits 0 "a stream of unknown length"
orbit cat s3://bucket/piped2
same "a stream of unknown length" .out data
: >empty
orbit cp empty s3://bucket/empty
orbit cp s3://bucket/empty empty-back
check "an empty object" test -f empty-back -a ! -s empty-back
orbit cp s3://bucket/dir/data s3://other/copy
exits 0 "cp within S3"
orbit cat s3://other/copy
same "cp within S3" .out data
orbit mv s3://other/copy s3://other/moved
exits 0 "mv within a bucket"
orbit stat s3://other/copy
exits 3 "mv takes the source away"
orbit mv s3://other/moved s3://bucket/moved
exits 0 "mv between buckets"
cp data leaving
orbit mv leaving s3://bucket/arrived
exits 0 "mv to S3"
absent "mv to S3 takes the file away" leaving
orbit mv s3://bucket/arrived arrived
same "mv from S3" data arrived
orbit stat s3://bucket/arrived
exits 3 "mv from S3 takes the object away"

# ---- trees
orbit cp tree s3://bucket/tree
exits 0 "a tree to S3"
orbit cp s3://bucket/tree tree-back
check "a tree and back" diff -r tree tree-back
orbit cp s3://bucket/tree/ tree-back2
check "with a slash, too" diff -r tree tree-back2
orbit cp 's3://bucket/tree/*.txt' some
check "a pattern" is "$(ls some | tr '\n' ' ')" "a.txt "
orbit ls s3://bucket
prints "ls of a bucket" '^ +DIR  tree/$'
prints "ls of a bucket" '^20[0-9-]+ [0-9:]+ +30000000  moved$'
orbit ls s3://bucket/tree
prints "ls of a prefix" '  a\.txt$'
orbit ls s3://bucket/tree/a.txt
prints "ls of an object" '  a\.txt$'
orbit ls -r s3://bucket/tree/
check "ls -r" is "$(wc -l <.out)" 3
orbit ls -re s3://bucket/tree/a.txt
prints "ls -e" '[0-9a-f]{32}'
orbit ls s3://bucket/none/
exits 3 "ls of a prefix that is empty"
orbit ls s3://bucket/none
exits 3 "ls of what is missing"
orbit rmdir s3://bucket/tree
exits 1 "rmdir of a prefix with keys below it"
orbit mkdir s3://bucket/marked
orbit rmdir s3://bucket/marked
exits 0 "rmdir of a marker"
orbit mkdir s3://bucket/stood s3://bucket/stood/empty s3://bucket/stood/full
orbit put tree/a.txt s3://bucket/stood/full/a.txt
orbit put tree/a.txt s3://bucket/implied/below/a.txt
marked="rm s3://bucket/stood/ rm s3://bucket/stood/empty/ rm s3://bucket/stood/full/ rm s3://bucket/stood/full/a.txt "
for place in s3://bucket/stood s3://bucket/stood/ 's3://bucket/sto*'; do
    orbit rm -r --dry-run "$place"
    check "the markers that would go of $place" is "$(sort .out | tr '\n' ' ')" "$marked"
    orbit rm -r --dry-run --json "$place"
    check "and in JSON" is "$(grep -c '"source":"s3://bucket/stood/.*"dry_run":true' .out)" 4
    orbit rm -r "$place"
    exits 0 "rm -r $place"
    check "the markers of $place" is "$(sort .out | tr '\n' ' ')" "$marked"
    orbit ls s3://bucket/stood/
    exits 3 "nothing is left of $place"
    orbit mkdir s3://bucket/stood s3://bucket/stood/empty s3://bucket/stood/full
    orbit put tree/a.txt s3://bucket/stood/full/a.txt
done
orbit rm -r --json s3://bucket/stood
check "markers in JSON" is "$(grep -c '^{"operation":"rm","success":true,"source":"s3://bucket/stood/.*"}$' .out)" 4
looks=$(stat_of requests.HeadObject)
orbit rm -r s3://bucket/implied
check "directories without markers are not looked for" test "$(stat_of requests.HeadObject)" -le $((looks + 4))
check "nor told" is "$(cat .out)" "rm s3://bucket/implied/below/a.txt"
orbit put tree/a.txt s3://bucket/plain/a.txt
orbit rm -r 's3://bucket/pla*'
exits 0 "what a pattern of directories matched is gone"
orbit mkdir s3://bucket/from s3://bucket/from/empty
for place in s3://bucket/from 's3://bucket/fr*'; do
    orbit put tree/a.txt s3://bucket/from/a.txt
    orbit mv "$place" s3://bucket/to/
    exits 0 "mv $place"
    orbit ls s3://bucket/from
    exits 3 "mv $place leaves no marker"
    orbit mv s3://bucket/to/from s3://bucket/from
done
orbit rm -q -r s3://bucket/from s3://bucket/to
orbit mkdir s3://bucket/from/
orbit put tree/a.txt s3://bucket/from/a.txt
orbit mv --exclude '*.txt' s3://bucket/from/ s3://bucket/to/
orbit put tree/a.txt s3://bucket/from
orbit rm s3://bucket/from/a.txt
orbit ls s3://bucket
prints "a marker stays where something is left in its directory" '^ +DIR  from/$'
orbit put tree/a.txt s3://bucket/from/a.txt
orbit mv s3://bucket/from/ s3://bucket/to/
orbit ls s3://bucket
check "it goes, and not the object of the name" is "$(grep -c ' from$' .out)$(grep -c ' from/$' .out)" 10
orbit rm -q -r s3://bucket/from s3://bucket/to
orbit mv s3://bucket/tree s3://bucket/tree2
exits 0 "mv of a prefix"
orbit ls -r s3://bucket/tree2
check "mv of a prefix" is "$(wc -l <.out)" 3
orbit rm s3://bucket/tree2
exits 1 "rm of a prefix without -r"
orbit rm -r s3://bucket/tree2
exits 0 "rm -r of a prefix"
check "rm says each object" is "$(grep -c '^rm s3://bucket/tree2/' .out)" 3
orbit ls s3://bucket/tree2
exits 3 "rm -r of a prefix removes all"
orbit rm s3://bucket/none
exits 3 "rm of what is missing"
orbit cp -n tree/a.txt s3://bucket/moved
exits 0 "cp -n"
orbit stat s3://bucket/moved
prints "cp -n keeps what is there" '^size: 30000000$'

# Keys that would lead out of the directory, and keys that a directory cannot have.
for key in evil/../../escaped evil//abs/x evil/ok; do
    printf x | "$ORBIT" put "s3://other/$key" >.out 2>.err
    code=$?
    exits 0 "put of the key $key"
done
mkdir -p jail/inner
orbit cp s3://other/evil jail/inner
exits 1 "keys that lead out of the target"
says "a key with .. is refused" '^ERROR "cp s3://other/evil/\.\./\.\./escaped .*no path below a directory'
says "a key with // is refused" '^ERROR "cp s3://other/evil//abs/x .*'
absent "a key with .. stays within the target" jail/escaped escaped /abs/x
holds "only what is harmless arrives" jail/inner ok
orbit cp s3://other/evil s3://other/copy-of-evil
exits 0 "between objects such keys are harmless"
orbit ls -r s3://other/copy-of-evil
prints "and stay as they are" '  \.\./\.\./escaped$'
prints "and stay as they are" '  /abs/x$'
orbit ls -r s3://other/evil//
check "a prefix that ends in two slashes" is "$(sed 's/.*  //' .out)" abs/x
for key in 'with space' 'per%cent' 'plus+' 'hash#x' 'quest?ion' 'star*' '~tilde' "quote'\"" 'é' 'a:b' 'a//b' $'tab\t'; do
    printf '%s' "$key" | "$ORBIT" put "s3://other/odd/$key" >.out 2>.err
    code=$?
    exits 0 "put of the key $key"
    orbit cat --raw "s3://other/odd/$key"
    prints_exactly "cat of the key $key" "$key"
    orbit --json stat --raw "s3://other/odd/$key"
    check "JSON of the key $key" python3 -c 'import json, sys
sys.exit(json.load(open(sys.argv[1]))["key"] != "s3://other/odd/" + sys.argv[2])' .out "$key"
done

# ---- metadata
orbit cp --metadata color=blue --metadata size=large --content-type text/x-test --cache-control no-cache tree/a.txt s3://bucket/meta
exits 0 "metadata"
orbit --json stat s3://bucket/meta
check "metadata arrives" python3 -c 'import json, sys
m = json.load(open(sys.argv[1]))
sys.exit(not (m["metadata"] == {"color": "blue", "size": "large"} and m["content_type"] == "text/x-test" and
              m["cache_control"] == "no-cache" and m["type"] == "file" and m["size"] == 4))' .out
orbit cp s3://bucket/meta s3://bucket/meta2
orbit stat s3://bucket/meta2
prints "metadata goes along within S3" '^metadata color: blue$'
orbit cp s3://bucket/meta s3://bucket/meta
exits 2 "cp of an object onto itself"
orbit cp --json tree/a.txt s3://bucket/json
check "JSON of a transfer" python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))
sys.exit(not (r["operation"] == "cp" and r["success"] is True and r["source"] == "tree/a.txt" and
              r["destination"] == "s3://bucket/json" and r["size"] == 4))' .out
orbit --json cat s3://bucket/none
exits 3 "JSON of a failure"
check "JSON of a failure" python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))
sys.exit(not (r["success"] is False and r["error"]["kind"] == "not_found" and r["error"]["retriable"] is False and
              r["error"]["message"]))' .err

orbit cp --checksum-algorithm SHA256 tree/a.txt s3://bucket/summed
orbit stat s3://bucket/summed
prints "a checksum by name" "^checksum: sha256:$(sha256sum <tree/a.txt | cut -d' ' -f1)\$"
orbit cp --checksum-algorithm CRC32 data s3://bucket/summed
orbit stat s3://bucket/summed
prints "one of a large file" '^checksum: crc32:[0-9a-f]{8}$'
orbit stat --checksum s3://bucket/summed
prints "the checksum alone" '^crc32:[0-9a-f]{8}  s3://bucket/summed$'
bytes 6000000 >two
orbit cp --part-size 5 --checksum-algorithm SHA256 two s3://bucket/composite
orbit stat --checksum s3://bucket/composite
prints "one of the parts" '^sha256:[0-9a-f]{64} \(composite\)  s3://bucket/composite$'
prints "and what they are" "^sha256:$(head -c 5242880 two | sha256sum | cut -d' ' -f1)  part 1  5242880  s3://bucket/composite\$"
prints "to the last" "^sha256:$(tail -c +5242881 two | sha256sum | cut -d' ' -f1)  part 2  757120  s3://bucket/composite\$"
orbit stat --json --checksum 's3://bucket/composit*'
check "a line each" is "$(wc -l <.out)" 3
prints "in JSON" "^\{\"key\":\"s3://bucket/composite\",\"part\":2,\"size\":757120,\"checksum\":\"sha256:[0-9a-f]{64}\"\}\$"
orbit stat --checksum two
check "a file has none" is "$(cat .out)" "-  two"
orbit stat --checksum s3://bucket/nothing
exits 3 "the checksum of nothing"

# ---- buckets
# The service: its buckets, and nothing else.
orbit mb s3://first s3://second s3://third
orbit ls s3://
exits 0 "ls of the service"
check "the buckets" is "$(awk '{ print $NF }' .out | grep -E 'first|second|third' | sort | tr '\n' ' ')" "first/ second/ third/ "
cp .out buckets
for entries in 1 2; do
    orbit ls -o list_page_entries=$entries s3://
    same "buckets in pages of $entries" .out buckets
done
for verb in "cat s3://" "stat s3://" "rm -r s3://" "ls -r s3://" "mb s3://" "cp s3.sh s3://"; do
    touch s3.sh
    # shellcheck disable=SC2086
    orbit $verb
    exits 2 "$verb"
    says "$verb" "name.* bucket|bucket is named"
done
orbit ls s3:///key
exits 2 "a key without a bucket"
orbit rb s3://first s3://second s3://third
exits 0 "rb of three"

orbit mb s3://made
exits 0 "mb"
orbit cp tree/a.txt s3://made/x
orbit rb s3://made
exits 1 "rb of a bucket that is not empty"
orbit rm s3://made/x
orbit rb s3://made
exits 0 "rb"
orbit ls s3://made
exits 3 "a bucket that is gone"
orbit mb s3://made/key
exits 2 "mb with a key"

# ---- what can be wrong
orbit cp s3://bucket/none x
exits 3 "a wrong key"
says_once "a wrong key" '^ERROR "cp s3://bucket/none x": '
absent "a wrong key leaves nothing" x
orbit cp data s3://no-such-bucket/x
exits 3 "a wrong bucket"
says_once "a wrong bucket" '^ERROR "cp data s3://no-such-bucket/x": .*bucket'
AWS_SECRET_ACCESS_KEY=wrongsecret orbit ls s3://bucket
exits 4 "a wrong secret"
says_once "a wrong secret" '^ERROR "ls s3://bucket": '
check "a secret is never told" sh -c "! grep -q wrongsecret '$work/.err'"
AWS_ACCESS_KEY_ID=nobody orbit ls s3://bucket
exits 4 "a wrong access key"
env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY timeout 60 "$ORBIT" ls s3://bucket >.out 2>.err
code=$?
check "no credentials" test $code = 4 -o $code = 2
says "no credentials" "AWS_ACCESS_KEY_ID"
began=$SECONDS
orbit ls --endpoint-url http://127.0.0.1:1 s3://bucket
exits 5 "an endpoint that refuses"
says_once "an endpoint that refuses" '^ERROR "ls s3://bucket": .*'
check "an endpoint that refuses is told quickly" test $((SECONDS - began)) -le 20
began=$SECONDS
orbit ls --endpoint-url http://nowhere.invalid s3://bucket
exits 5 "a host that does not resolve"
says_once "a host that does not resolve" 'nowhere\.invalid'
check "a host that does not resolve is told quickly" test $((SECONDS - began)) -le 20
orbit cp tree/a.txt s3://bucket/dir/
exits 0 "an endpoint by the environment"
env -u AWS_ENDPOINT_URL "$ORBIT" ls --endpoint-url "http://127.0.0.1:$port" s3://bucket >.out 2>.err
code=$?
exits 0 "an endpoint by a flag"
env -u AWS_ENDPOINT_URL "$ORBIT" cp --source-endpoint-url "http://127.0.0.1:$port" s3://bucket/meta m >.out 2>.err
code=$?
exits 0 "an endpoint for one side"
orbit cp s3://bucket/tree/ s3://bucket/tree/inside
exits 2 "a prefix into itself"
orbit ls s3://bucket | head -n 1 >/dev/null
orbit --retry-count 0 --stat ls s3://bucket
says "--stat" 'ls: [0-9]+ done, 0 skipped, 0 failed'
says "--stat counts requests by kind" '^ +[0-9]+  list$'
orbit --retry-count 0 --json --stat ls s3://bucket
check "--json --stat" grep -q '"attempts":{"list_begin":1,"list":1}' .out
orbit --log debug stat s3://bucket
says "--log debug names the store's request id" 'request id [0-9A-Za-z-]+'
orbit --log debug --log-file log ls s3://bucket
check "a log has no secret" sh -c "! grep -q -e secret log"

# ---- a server that is unwell
curl -s -X POST "http://127.0.0.1:$port/_control/reset" >/dev/null
orbit cp data s3://bucket/data
exits 0 "before the server is unwell"
stop_s3d
orbit --retry-count 1 cp s3://bucket/data x
exits 5 "a server that is gone"
absent "a server that is gone leaves nothing" x

# ---- TLS
if [ -n "${TLS_SH:-}" ]; then
    "$TLS_SH" make "$work/tls" || exit 1
    start_s3d --tls-cert "$work/tls/server.pem" --tls-key "$work/tls/server.key"
    export AWS_ENDPOINT_URL="https://127.0.0.1:$port"
    orbit ls s3://bucket
    exits 4 "an authority that is not trusted"
    says_once "an authority that is not trusted" '^ERROR "ls s3://bucket": .*certificate'
    orbit ls --ca-bundle "$work/tls/ca.pem" s3://bucket
    exits 0 "--ca-bundle"
    AWS_CA_BUNDLE="$work/tls/ca.pem" orbit cp data s3://bucket/tls
    exits 0 "AWS_CA_BUNDLE"
    orbit --no-verify-ssl cp s3://bucket/tls tls-back
    exits 0 "--no-verify-ssl"
    same "over TLS" data tls-back
    stop_s3d
    start_s3d --tls-cert "$work/tls/expired.pem" --tls-key "$work/tls/expired.key"
    export AWS_ENDPOINT_URL="https://127.0.0.1:$port"
    orbit ls --ca-bundle "$work/tls/ca.pem" s3://bucket
    exits 4 "an expired certificate"
    stop_s3d
    start_s3d --tls-cert "$work/tls/stranger.pem" --tls-key "$work/tls/stranger.key"
    export AWS_ENDPOINT_URL="https://127.0.0.1:$port"
    orbit ls --ca-bundle "$work/tls/ca.pem" s3://bucket
    exits 4 "a certificate for another name"
    stop_s3d
fi

# ---- how an object is kept
start_s3d --bucket other
control 'set?echo=1'
bytes 3000000 >small
kept="--acl private --tagging a=b --sse aws:kms --sse-kms-key-id k --sse-kms-context eyJhIjoiYiJ9 --bucket-key-enabled
    --expected-bucket-owner 111122223333 --no-guess-mime-type"
told() {
    orbit stat "$1"
    for line in 'acl: private' 'server-side-encryption-aws-kms-key-id: k' \
        'server-side-encryption-context: eyJhIjoiYiJ9' 'server-side-encryption-bucket-key-enabled: true'; do
        prints "$2" "^metadata echo-$line\$"
    done
    prints "$2" '^content type: application/octet-stream$'
}
orbit cp $kept small s3://bucket/small.txt
exits 0 "a small file"
told s3://bucket/small.txt "a small file"
orbit cp $kept data s3://bucket/large.txt
exits 0 "a large file"
told s3://bucket/large.txt "a large file"
"$ORBIT" put $kept s3://bucket/stream.txt <small >.out 2>.err
code=$?
exits 0 "a stream"
told s3://bucket/stream.txt "a stream"
orbit cat s3://bucket/large.txt
same "a large file" .out data
orbit cp small s3://bucket/plain.txt
orbit cp $kept --metadata-directive REPLACE s3://bucket/plain.txt s3://other/copied.txt
exits 0 "a copy"
told s3://other/copied.txt "a copy"
for file in small data; do
    orbit cp --object-lock-mode GOVERNANCE --object-lock-retain-until-date 2035-01-31T00:00:00Z --object-lock-legal-hold ON \
        $file s3://bucket/locked
    exits 0 "object lock: $file"
    orbit stat s3://bucket/locked
    prints "object lock: $file" '^object lock: GOVERNANCE$'
    prints "object lock: $file" '^locked until: 2035-01-31T00:00:00Z$'
    prints "object lock: $file" '^legal hold: ON$'
done
orbit cp --object-lock-mode GOVERNANCE small s3://bucket/half
exits 2 "half an object lock"
orbit cp --expected-bucket-owner 999999999999 small s3://bucket/theirs
exits 4 "another account's bucket"
stop_s3d

# ---- going on with what another program left, and comparing every checksum
start_s3d
orbit cp s3://bucket/gen-20M whole
mkdir parts
for part in right wrong; do
    head -c 17000000 whole >parts/$part
    [ $part = right ] || printf x | dd of=parts/$part bs=1 seek=5000000 conv=notrunc status=none
    before=$(stat_of sent)
    orbit cp --no-hedge --continue s3://bucket/gen-20M parts/$part
    exits 0 "--continue of a $part part"
    same "--continue of a $part part" parts/$part whole
    check "--continue fetches what a $part part needs" is $(($(stat_of sent) - before)) \
        $([ $part = right ] && echo 3971520 || echo 24943040)
done
says "a wrong part is told" "fetched from its beginning: the first 17000000 bytes of .*parts/wrong' are not its own"
holds "--continue leaves nothing" parts right wrong
control 'set?anonymous=1&own_checksum=0'
curl -sS --fail -T whole "http://127.0.0.1:$port/bucket/plain"
orbit cp --verify=full s3://bucket/plain checked
exits 0 "--verify=full by an ETag"
same "--verify=full by an ETag" checked whole
control 'fault?op=GetObject&nth=1&corrupt=9'
orbit cp --verify=full s3://bucket/plain damaged
exits 0 "bytes that were damaged on the way"
says_once "bytes that were damaged on the way" "plain' is fetched once more: .* not those whose MD5 the store keeps"
same "bytes that were damaged on the way" damaged whole
rm damaged
control 'fault?op=GetObject&corrupt=9'
orbit cp --verify=full s3://bucket/plain damaged
exits 6 "--verify=full of damaged bytes"
says "--verify=full of damaged bytes" "ERROR .*are not those whose MD5 the store keeps"
absent "--verify=full of damaged bytes" damaged
stop_s3d

# ---- a key of one's own, of one side or of both
start_s3d
head -c 32 /dev/urandom >own
orbit cp data s3://bucket/own --sse-c-key-file own
exits 0 "cp with a key of one's own"
orbit cp s3://bucket/own s3://bucket/plain --source-sse-c-key-file own
exits 0 "from a key to none"
orbit cp s3://bucket/plain s3://bucket/again --sse-c-key-file own
exits 0 "from none to a key"
orbit cp 's3://bucket/aga*' s3://bucket/both/ --source-sse-c-key-file own --sse-c-key-file own
exits 0 "from a key to a key"
orbit cp s3://bucket/both/again back --sse-c-key-file own
exits 0 "to this machine"
same "to this machine" data back
for verb in cp put; do
    orbit $verb -n own s3://bucket/own --sse-c-key-file own
    exits 0 "$verb -n of what is kept with the key"
    orbit $verb -n own s3://bucket/plain --sse-c-key-file own
    exits 0 "$verb -n of what is kept without one"
    check "$verb -n keeps it" test ! -s .out
done
orbit cp s3://bucket/plain back
same "what has no key stays as it was" data back
stop_s3d

# ---- interrupted in the middle of an upload
start_s3d
mkfifo feed
interruptible "$ORBIT" put s3://bucket/interrupted <feed >.out 2>.err &
pid=$!
exec 9>feed
head -c 30000000 /dev/zero >&9
sleep 0.3
kill -INT $pid
wait $pid
code=$?
exec 9>&-
exits 130 "SIGINT in an upload"
says_once "SIGINT in an upload" "nothing was left half-written"
orbit stat s3://bucket/interrupted
exits 3 "SIGINT leaves no object"
check "SIGINT leaves no open upload" sh -c "curl -s http://127.0.0.1:$port/_control/stats | grep -Eq 'open_uploads.: *0[,}]'"

finish
