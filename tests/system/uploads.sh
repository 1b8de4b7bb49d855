#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Uploads that are ended in the middle, and gone on with.
. "$(dirname "$0")/lib.sh" || exit 1

start_s3d
still() { # nothing has come in since it was asked last
    local now
    now=$(stat_of received)
    [ "$now" = "$came" ] || { came=$now; return 1; }
}
export ORBIT_STATE_DIR="$work/state"
journals() { find "$work/state" -name '*.upload*' 2>/dev/null | wc -l; }

# ---- killed at twenty random moments --------------------------------------------------------------------
PART=$((5 << 20)) FLIGHT=4 SIZE=$((320 << 20)) KILLS=${KILLS:-20}
bytes $SIZE >file
control "set?bandwidth=$((24 << 20))"
RANDOM=${SEED:-$$}
echo "uploads.sh: random moments of seed ${SEED:-$$}"
kills=0 rounds=0
before=$(stat_of received)
while [ $kills -lt $KILLS ] && [ $rounds -lt 60 ]; do
    rounds=$((rounds + 1))
    "$ORBIT" cp --part-size 5M -c $FLIGHT file s3://bucket/killed >.out 2>.err &
    pid=$!
    sleep 0.$(printf %03d $((RANDOM % 300 + 50)))
    if kill -KILL $pid 2>/dev/null; then
        kills=$((kills + 1))
    fi
    wait $pid 2>/dev/null
    code=$?
    if [ $code = 0 ]; then
        break
    fi
done
control "set?bandwidth=0"
orbit cp --part-size 5M -c $FLIGHT file s3://bucket/killed
exits 0 "the same command ends what was killed $kills times"
received=$(($(stat_of received) - before))
twice=$((received - SIZE))
echo "uploads.sh: $kills kills, $((twice >> 10)) KiB sent twice of at most $((kills * FLIGHT * PART >> 10))"
check "no more is sent twice than was in flight" test $twice -le $((kills * FLIGHT * PART + (1 << 20)))
orbit cat s3://bucket/killed
same "the object is the file" file .out
check "no upload is left open" is "$(stat_of open_uploads)" 0
check "no journal is left" is "$(journals)" 0

# The endpoint keeps 1 GiB in all.
control reset
SIZE=$((96 << 20))
head -c $SIZE file >less && mv less file

# ---- interrupted by a person ---------------------------------------------------------------------------------
counted() { [ "$(stat_of "$1")" -ge "$2" ]; }
interrupted() { # interrupted SIGNAL FILE COMMAND…: ends it when parts have arrived
    local signal=$1 input=$2 wanted
    shift 2
    wanted=$(($(stat_of requests.UploadPart) + 4))
    interruptible "$@" <"$input" >.out 2>.err &
    pid=$!
    wait_until 300 0.02 counted requests.UploadPart $wanted
    kill -"$signal" $pid
    wait $pid
    code=$?
}
control "set?bandwidth=$((8 << 20))"
for signal in INT:130 TERM:143; do
    interrupted ${signal%:*} /dev/null "$ORBIT" cp --part-size 5M -c 2 file s3://bucket/interrupted
    exits ${signal#*:} "SIG${signal%:*} in an upload of a file"
    says "SIG${signal%:*} says that it can be gone on with" 'is kept: the same upload goes on'
    check "SIG${signal%:*} leaves the upload" is "$(stat_of open_uploads)" 1
    check "SIG${signal%:*} leaves the journal" is "$(journals)" 1
done
sent=$(stat_of received)
control "set?bandwidth=0"
orbit cp --part-size 5M -c 2 file s3://bucket/interrupted
exits 0 "the same command goes on"
check "it does not send everything" test $(($(stat_of received) - sent)) -lt $SIZE
orbit cat s3://bucket/interrupted
same "the object is the file" file .out
control "set?bandwidth=$((8 << 20))"
mkfifo pipe
for signal in INT:130 TERM:143; do
    cat file >pipe 2>/dev/null &
    feeder=$!
    interrupted ${signal%:*} pipe "$ORBIT" put --part-size 5M -c 2 - s3://bucket/piped
    kill $feeder 2>/dev/null
    wait $feeder 2>/dev/null
    exits ${signal#*:} "SIG${signal%:*} in an upload from a pipe"
    check "what cannot be gone on with is aborted by SIG${signal%:*}" is "$(stat_of open_uploads)" 0
    interrupted ${signal%:*} /dev/null env ORBIT_STATE_DIR= "$ORBIT" cp --part-size 5M -c 2 file s3://bucket/unkept
    exits ${signal#*:} "SIG${signal%:*} in an upload without a journal"
    check "without a journal it is aborted by SIG${signal%:*}" is "$(stat_of open_uploads)" 0
done
control "set?bandwidth=0"

control reset
control reset
# ---- killed while the upload's id was on its way ---------------------------------------------------------------
control "fault?op=CreateMultipartUpload&stall=0"
"$ORBIT" cp --part-size 5M file s3://bucket/unheard >.out 2>.err &
pid=$!
wait_until 300 0.02 counted open_uploads 1
kill -KILL $pid
wait $pid 2>/dev/null
control clear
check "an upload that nobody heard of is open" is "$(stat_of open_uploads)" 1
orbit uploads ls
prints "its journal has nothing but the plan" " 0 of +$SIZE  .*/unheard$"
orbit cp --part-size 5M file s3://bucket/unheard
exits 0 "the same command begins anew"
says "what was swept is told" 'never heard is aborted'
check "and sweeps it" is "$(stat_of open_uploads)" 0
check "no journal is left of it" is "$(journals)" 0

# ---- orbit uploads ---------------------------------------------------------------------------------------------
orbit uploads ls
exits 0 "no journals"
prints_exactly "no journals are nothing to tell" ""
orbit uploads resume
exits 0 "nothing to go on with"
says_once "nothing to go on with" '^orbit uploads resume: there is nothing to go on with'
orbit -q uploads resume
says_nothing "and not said to whom wants quiet"
orbit uploads resume s3://bucket
exits 3 "nothing to go on with of a bucket"
says_once "nothing to go on with of a bucket" '^ERROR "uploads resume s3://bucket": .*keeps no unfinished upload'
begin() { # begin KEY: an upload that is ended in the middle
    control "set?bandwidth=$((8 << 20))"
    interrupted INT /dev/null "$ORBIT" cp --part-size 5M -c 2 "$2" "s3://bucket/$1"
    control "set?bandwidth=0"
}
cp file other
begin a/one file
begin 'a/two words' other
ORBIT_STATE_DIR="$work/elsewhere" begin b/three file
orbit uploads ls s3://bucket
exits 0 "uploads ls of a bucket"
check "every open upload is told" is "$(wc -l <.out)" 3
prints "with the journal's mark" '^20[0-9 :-]+  journal  [^ ]+  s3://bucket/a/two words$'
prints "and without" '^20[0-9 :-]+  -        [^ ]+  s3://bucket/b/three$'
orbit uploads ls s3://bucket/a/
check "a prefix chooses" is "$(wc -l <.out)" 2
orbit uploads ls s3://bucket --older-than 1h
check "--older-than chooses" is "$(wc -l <.out)" 0
orbit --json uploads ls s3://bucket/b
check "JSON of an upload" python3 -c 'import json
entry = json.loads(open(".out").read())
assert entry["key"] == "s3://bucket/b/three" and entry["journal"] is False and entry["upload_id"] and entry["started"]'
orbit uploads ls
check "journals are told" is "$(wc -l <.out)" 2
prints "with their files" "/file s3://bucket/a/one$"
orbit --json uploads ls
check "JSON of a journal" python3 -c 'import json
for line in open(".out"):
    entry = json.loads(line)
    assert entry["size"] == '$SIZE' and 0 < entry["sent"] < entry["size"] and entry["source"].endswith(("/file", "/other"))'
touch -d '2001-01-01' other
orbit uploads resume s3://bucket
exits 1 "one of two can be resumed"
prints "what was resumed is told" '^uploads resume .*/file s3://bucket/a/one$'
says "what changed is told" 'ERROR "uploads resume .*other s3://bucket/a/two words": .*the file has changed'
orbit cat s3://bucket/a/one
same "the resumed object is the file" file .out
check "what changed stays" is "$(journals)" 1
orbit uploads abort s3://bucket --older-than 1h
exits 0 "nothing is that old"
check "and nothing is aborted" is "$(stat_of open_uploads)" 2
orbit uploads abort --dry-run s3://bucket
check "a dry run aborts nothing" is "$(stat_of open_uploads)" 2
orbit uploads abort s3://bucket/
exits 0 "uploads abort"
prints "what was aborted is told" '^uploads abort s3://bucket/b/three$'
check "all are aborted" is "$(stat_of open_uploads)" 0
check "and the journals go" is "$(journals)" 0
orbit uploads ls s3://bucket
prints_exactly "nothing is open" ""
orbit uploads ls s3://nobucket
exits 3 "a bucket that is not there"
orbit uploads abort
usage "abort without a place" "abort needs a place"
orbit uploads list
usage "a word that is none" "uploads takes ls, resume or abort, not 'list'"
orbit uploads ls /tmp
usage "a place that has no uploads" "has no uploads"
orbit uploads ls --older-than soon
usage "an age that is none" "older-than"


# ---- from another store ----------------------------------------------------------------------------------------
control reset
orbit cp -q --part-size 5M file s3://bucket/object
there=$port there_pid=$s3d_pid
trap 'kill $there_pid 2>/dev/null; cleanup' EXIT
start_s3d
across=(cp --part-size 5M --source-endpoint-url "http://127.0.0.1:$there" s3://bucket/object s3://bucket/copied)
control "set?bandwidth=$((16 << 20))"
interrupted KILL /dev/null "$ORBIT" "${across[@]}" -c 2 2>/dev/null
exits 137 "killed while it copied from another store"
check "a journal tells of it" is "$(journals)" 1
control "set?bandwidth=0"
came=
wait_until 120 0.5 still # what the killed one had sent is still read
sent=$(stat_of received)
orbit "${across[@]}" -c 2 --log=info
exits 0 "the same command"
says "the same command" 'goes on: [1-9][0-9]+ of [0-9]+ bytes are at the store'
check "sends only the rest" test $(($(stat_of received) - sent)) -lt $((SIZE - (9 << 20)))
orbit cat s3://bucket/copied
same "the copy is the file" file .out
check "no upload is left open of it" is "$(stat_of open_uploads)" 0
check "no journal is left of it" is "$(journals)" 0

finish
