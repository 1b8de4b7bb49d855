#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Uploads over SFTP that are killed in the middle, and gone on with: what was there is not sent twice, and never believed
# without reason.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/sftp_killed.sh" || exit 1
: "${ORBIT_SSHD_ENV:?where the fixture tells how to reach its server}"

interrupted() {
    server stall_at=$HALF
    killed w $((HALF - 20)) cp data "$to/$1"
    check "$1: it is in the middle" is "$(temporaries)" 1
    check "$1: a journal tells of it" is "$(journals)" 1
    server
}
again() { # again WHAT NAME: the same command
    sftp cp --log=info data "$to/$2"
    goes_on "$1" data "$2"
}

# ---- killed ------------------------------------------------------------------------------------------------
interrupted killed
again "killed" killed
says "what is there is told" "goes on: [0-9]+ of $SIZE bytes are at the store"
check "most was sent once" test "$(tally w)" -lt $((HALF * 5 / 2))
check "what was not flushed was compared" test "$(tally r)" -gt 0

rm -f there/*
server pause=8 fsync=1
killed f 1 cp data "$to/flushed"
exits 137 "killed when it was flushed"
before=$(tally w)
server
again "flushed" flushed
check "what was flushed is not read" test "$(tally r)" -lt $((before / 2))
check "and not sent" test $(($(tally w) - before)) -lt $((SIZE / 32768 - before / 2))

# ---- what is there is not what it was ------------------------------------------------------------------------------
interrupted vanished
rm "$(temporary)"
again "its temporary has vanished" vanished
says "it is told to begin anew" 'begins anew: the store does not know'

interrupted truncated
truncate -s 1M "$(temporary)"
again "its temporary was cut" truncated

interrupted longer
truncate -s $((SIZE + 70000)) "$(temporary)"
again "its temporary is longer" longer

interrupted damaged
printf 'lost' | dd of="$(temporary)" bs=1 seek=$((3 << 20)) conv=notrunc 2>/dev/null
again "its temporary has other bytes" damaged

interrupted taken
echo precious >precious
victim=$(temporary)
rm "$victim" && ln -s "$work/precious" "$victim"
sftp cp data "$to/taken"
exits 0 "a symlink stands at its temporary's name"
same "a symlink is not written through" data there/taken
check "what it leads to is as it was" is "$(cat precious)" precious
rm -f "$victim"

# ---- what is to be sent is another one --------------------------------------------------------------------------------
interrupted changed
cp data first
printf 'changed' | dd of=data bs=1 seek=100 conv=notrunc 2>/dev/null
again "the file has changed since" changed
says "that is told" 'begins anew: the file has changed since'

# ---- two at once ------------------------------------------------------------------------------------------------------
server pause=4
rm -f tally
"$ORBIT" cp -o command="sh $work/serve" data "$to/twice" >first.out 2>&1 &
pid=$!
wait_until 3000 0.01 tallied w 8
server
sftp cp data "$to/twice"
exits 1 "the same upload, once more"
says_once "the same upload, once more" 'is under way already: wait for it or end it$'
wait $pid
code=$?
goes_on "the first one is not disturbed" data twice

# ---- a person's ways ----------------------------------------------------------------------------------------------------
rm -rf there/* state
server stall_at=$HALF
SIGNAL=INT killed w $((HALF - 20)) cp data "$to/stopped"
exits 130 "SIGINT"
says "SIGINT says that it can be gone on with" 'is kept: the same upload goes on'
server
sftp uploads ls
prints "its journal" "^20[0-9 :-]+ +[0-9]+ of +$SIZE  $work/data $to/stopped$"
sftp uploads ls "$to"
prints "the directory has it" "^20[0-9 :-]+  journal  \.orbit-[0-9a-f]{16}  $to/\.orbit-[0-9a-f]{16}$"
sftp uploads ls "$to/stopped"
prints "the name has it" "^20[0-9 :-]+  journal  \.orbit-[0-9a-f]{16}  $to/stopped$"
sftp uploads ls "$to/another"
prints_exactly "another name has not" ""
sftp uploads resume
exits 0 "uploads resume"
goes_on "uploads resume" data stopped

server stall_at=$HALF
SIGNAL=INT killed w $((HALF - 20)) cp data "$to/given-up"
server
sftp uploads abort --older-than 1d "$to"
check "what is young stays" is "$(temporaries)" 1
sftp uploads abort "$to/given-up"
exits 0 "uploads abort"
check "uploads abort removes the temporary" is "$(temporaries)" 0
check "and the journal" is "$(journals)" 0

mkfifo pipe
cat data >pipe &
feeder=$!
server stall_at=$HALF
INPUT=pipe killed w $((HALF - 20)) put - "$to/piped"
kill $feeder 2>/dev/null
wait $feeder 2>/dev/null
check "what came through a pipe has no journal" is "$(journals)" 0
server
touch -d '3 days ago' "$(temporary)"
sftp uploads ls "$to"
prints "but is told" '^20[0-9 :-]+  -        \.orbit-'
sftp uploads abort --older-than 1d "$to"
check "and given up" is "$(temporaries)" 0

# In a tree.
mkdir -p 'there/deep/a b' there/hollow
: >there/.orbit-0000000000000001
: >there/deep/.orbit-0000000000000002
: >'there/deep/a b/.orbit-0000000000000003'
: >there/deep/file
ln -s deep there/link
sftp uploads ls "$to"
check "of one directory" is "$(wc -l <.out)" 1
sftp uploads ls -r "$to"
exits 0 "of a tree"
check "of a tree" is "$(sed 's|.*  ||' .out | sort)" "$(printf '%s\n' "$to/.orbit-0000000000000001" \
    "$to/deep/.orbit-0000000000000002" "$to/deep/a b/.orbit-0000000000000003" | sort)"
sftp uploads abort -r "$to/deep"
check "given up in a tree" is "$(find there -name '.orbit-*' | sort)" there/.orbit-0000000000000001
check "what is none stays in a tree" test -f there/deep/file -a -L there/link
rm -r there/deep there/hollow there/link there/.orbit-0000000000000001

# Two hundred of them, in a directory with others.
for ((i = 0; i < 300; i++)); do
    printf -v name 'there/.orbit-%016x' $i
    : >"$name"
done
: >there/.orbit-not-one
mkdir there/.orbit-00000000000000ff0 2>/dev/null
sftp uploads ls "$to"
check "all are told" is "$(wc -l <.out)" 300
check "each once" is "$(sort -u .out | wc -l)" 300
sftp uploads abort "$to"
check "all are given up" is "$(find there -name '.orbit-????????????????' -type f | wc -l)" 0
check "what is none stays" test -f there/.orbit-not-one

# ---- over ssh, several times ------------------------------------------------------------------------------------------------
. "$ORBIT_SSHD_ENV" || exit 1
export ORBIT_SSH_OPTIONS="-F '$ORBIT_TEST_SSH_CONFIG'"
far=$ORBIT_TEST_SSH_FILES/resume-$$
mkdir "$ORBIT_TEST_SSH_HERE/resume-$$" && ln -s "$ORBIT_TEST_SSH_HERE/resume-$$" seen
trap 'rm -rf "$ORBIT_TEST_SSH_HERE/resume-$$"; cleanup' EXIT
bytes $((192 << 20)) >data
kills=0
RANDOM=${SEED:-$$}
for ((round = 0; round < 12; round++)); do
    "$ORBIT" cp data "sftp://direct$far/data" >.out 2>.err &
    pid=$!
    sleep 0.$(printf %03d $((RANDOM % 500 + 150)))
    kill -KILL $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null && break
done
orbit cp data "sftp://direct$far/data"
exits 0 "the same command ends what was killed $kills times"
same "over ssh" data seen/data
check "over ssh: nothing else is left" is "$(find seen/ -name '.orbit-*' | wc -l)" 0
check "over ssh: no journal is left" is "$(journals)" 0

finish
