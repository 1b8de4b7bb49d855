#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Copies between an object store and a host that are killed in the middle, and gone on with: only the rest is moved, and
# only of what is the same still.
. "$(dirname "$0")/lib.sh" || exit 1
. "$(dirname "$0")/sftp_killed.sh" || exit 1
start_s3d
another() { openssl enc -aes-128-ctr -K 00112233445566778899aabbccddee00 -iv 0 -in /dev/zero 2>/dev/null | head -c $SIZE; }
orbit cp -q data s3://bucket/data
exits 0 "an object"
another >another

# ---- from the store to the host ------------------------------------------------------------------------------
with=--destination-o
interrupted() { # interrupted NAME: one way or the other
    server stall_at=$HALF
    killed w $((HALF - 20)) cp s3://bucket/data "$to/$1"
    check "$1: it is in the middle" is "$(temporaries)" 1
    check "$1: a journal tells of it" is "$(journals)" 1
    server
}
again() { # again WHAT NAME FILE: the same command
    before=$(stat_of sent)
    sftp cp --log=info s3://bucket/data "$to/$2"
    goes_on "$1" "$3" "$2"
    moved=$(($(stat_of sent) - before))
}

interrupted killed
again "killed" killed data
says "what is there is told" "goes on: [0-9]+ of $SIZE bytes are at the store"
check "only the rest was sent" test "$(tally w)" -lt $((SIZE / 32768 * 5 / 4))
check "only the rest was fetched ($moved bytes)" test "$moved" -lt $((SIZE * 3 / 4))

rm there/*
server pause=8 fsync=1
killed f 1 cp s3://bucket/data "$to/flushed"
exits 137 "killed when it was flushed"
flushed=$(tally w)
server
again "flushed" flushed data
check "what was flushed is not read" test "$(tally r)" -lt $((flushed / 2))
check "and not sent" test $(($(tally w) - flushed)) -lt $((SIZE / 32768 - flushed / 2))

rm there/*
interrupted changed
orbit cp -q another s3://bucket/data
again "another object has its name" changed another
says "that is told" 'begins anew: its source has changed since'
check "all of it was fetched" test "$moved" -ge $SIZE
orbit cp -q data s3://bucket/data

rm there/*
interrupted vanished
rm "$(temporary)"
again "its temporary has vanished" vanished data

rm there/*
interrupted damaged
printf 'lost' | dd of="$(temporary)" bs=1 seek=$((1 << 20)) conv=notrunc 2>/dev/null
again "its temporary has other bytes" damaged data

# What came wrong from the store before the kill stands in the journal as it came: the checksum of the whole tells.
rm there/*
control "fault?op=GetObject&corrupt=70000&count=1"
interrupted wrong
control clear
again "a byte came wrong before it was killed" wrong data
says "that is told" 'is fetched once more: the bytes read from .* are not those whose CRC64NVME the store keeps'

# A person's ways.
rm there/*
interrupted listed
sftp uploads ls
prints "its journal" "^20[0-9 :-]+ +[0-9]+ of +$SIZE  s3://bucket/data $to/listed$"
sftp uploads ls --json
prints "in JSON" '"source":"s3://bucket/data"'
orbit cp -q another s3://bucket/data
sftp uploads resume
exits 1 "uploads resume of what has changed"
says "uploads resume of what has changed" 'cannot be gone on with: its source has changed since'
check "its journal stays" is "$(journals)" 1
orbit cp -q data s3://bucket/data
sftp uploads resume
goes_on "uploads resume, once it is the same again" data listed
prints "uploads resume tells both" "^uploads resume s3://bucket/data $to/listed$"

# ---- from the host to the store ------------------------------------------------------------------------------
rm there/*
with=--source-o
cp -p data there/file
interrupted() { # in its third part of four
    server stall_at=$((SIZE / 32768 * 3 / 4))
    killed r $((SIZE / 32768 * 3 / 4 - 20)) cp --part-size 5M -c 1 "$to/file" "s3://bucket/$1"
    exits 137 "$1: it is in the middle"
    check "$1: a journal tells of it" is "$(journals)" 1
    server
}
again() { # again WHAT NAME FILE WORDS
    before=$(stat_of received)
    sftp cp --log=info --part-size 5M "$to/file" "s3://bucket/$2"
    exits 0 "$1"
    says "$1: it is told" "$4"
    moved=$(($(stat_of received) - before))
    orbit cp -q "s3://bucket/$2" fetched
    same "$1" "$3" fetched
    check "$1: no journal is left" is "$(journals)" 0
    orbit uploads ls s3://bucket
    prints_exactly "$1: no upload is left" ""
}

interrupted sent
again "sent" sent data "goes on: $((10 << 20)) of $SIZE bytes are at the store"
check "only the rest was sent ($moved bytes)" test "$moved" -lt $((SIZE / 2))

interrupted touched
touch -d '1 hour ago' there/file
again "the file has another time" touched data 'begins anew: its source has changed since'

finish
