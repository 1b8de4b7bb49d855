#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What of a listing is shown, and in which order.
. "$(dirname "$0")/lib.sh" || exit 1

mkdir -p tree/sub tree/b-dir
bytes 10 >tree/small.txt && bytes 2000 >tree/big.log && : >tree/empty && bytes 2000 >tree/sub/b.txt
touch -d '2026-01-01 00:00:00Z' tree/small.txt
touch -d '2026-03-01 12:00:00.5Z' tree/big.log
touch -d '2030-01-01 00:00:00Z' tree/empty # newer than our clock
touch -d '2026-02-01 00:00:00Z' tree/sub/b.txt
names() { sed 's/.* //' "$work/.out" | tr '\n' ' '; }

# ---- filters
orbit ls --larger 10 tree
check "--larger is more than" is "$(names)" "big.log "
orbit ls --larger 0 tree
check "--larger 0 leaves what is empty out" is "$(names | tr ' ' '\n' | sort | xargs)" "big.log small.txt"
orbit ls -r --smaller 2K tree
check "--smaller takes all below 2 KiB" is "$(wc -l <.out)" 4
orbit ls -r --smaller 2000 tree
check "--smaller is less than" is "$(names | tr ' ' '\n' | sort | xargs)" "empty small.txt"
orbit ls --smaller 0 tree
exits 0 "nothing that passes is no failure"
prints_exactly "nothing is smaller than nothing" ""
orbit ls -r --newer 2026-02-15 tree
check "--newer keeps what is newer than our clock" is "$(names | tr ' ' '\n' | sort | xargs)" "big.log empty"
orbit ls -r --older '2026-03-01 12:00' tree
check "--older with a time of day" is "$(names | tr ' ' '\n' | sort | xargs)" "small.txt sub/b.txt"
orbit ls -r --newer 2026-03-01T12:00:00.49Z --older 2026-03-01T12:00:00.51Z tree
check "both, to the fraction of a second" is "$(names)" "big.log "
touch -d '2 hours ago' now
orbit ls --newer 3h now
prints "an age" '  now$'
orbit ls --older 3h now
prints_exactly "an age the other way round" ""
orbit ls -r --name '*.txt' tree
check "--name of the last part" is "$(names | tr ' ' '\n' | sort | xargs)" "small.txt sub/b.txt"
orbit ls -r --name 'sub/*' --name empty tree
check "--name with a slash, and repeated" is "$(names | tr ' ' '\n' | sort | xargs)" "empty sub/b.txt"
orbit ls --name 'b*' tree
check "--name takes directories, too" is "$(names | tr ' ' '\n' | sort | xargs)" "b-dir/ big.log"
orbit ls -0 --larger 10 tree
check "filters of sizes with names alone" is "$(tr '\0' '|' <.out)" "big.log|"
orbit ls --show-fullpath -r --newer 2029-01-01 tree
prints_exactly "filters of times with names alone" tree/empty
orbit ls --larger 10 'tree/*.*'
check "filters of what a pattern matches" is "$(names)" "big.log "
orbit --json ls --larger 10 tree
check "filters of JSON" is "$(grep -c '"key":"tree/big.log"' .out) $(wc -l <.out)" "1 1"

# ---- order
orbit ls --sort name tree
check "--sort name: a directory is name/" is "$(names)" "b-dir/ big.log empty small.txt sub/ "
orbit ls --sort size tree
check "--sort size: the largest first" is "$(names)" "big.log small.txt b-dir/ empty sub/ "
orbit ls -r --sort time tree
check "--sort time: the newest first" is "$(names)" "empty big.log sub/b.txt small.txt "
orbit ls --sort name -r tree
check "--sort name of a tree" is "$(names)" "big.log empty small.txt sub/b.txt "
mkdir -p 'order/a' && : >'order/a/x' && : >'order/a b' && : >'order/a-b' && : >'order/a.b' && : >'order/a0'
orbit ls -0 -r --sort name order
check "--sort name is the order of keys" is "$(tr '\0' '|' <.out)" "a b|a-b|a.b|a/x|a0|"
orbit ls -H -e -r --sort size tree
prints "--sort keeps the columns" ' 2\.0K  big\.log$'
orbit --json ls -r --sort size tree
check "--sort of JSON" is "$(head -n 1 .out | grep -c '"size":2000')" 1
orbit ls --show-fullpath --sort name tree/sub tree
check "--sort across locations" is "$(tr '\n' ' ' <.out)" "tree/b-dir/ tree/big.log tree/empty tree/small.txt tree/sub/ tree/sub/b.txt "
orbit ls --sort SIZE 'tree/*.*'
check "--sort of what a pattern matches" is "$(names)" "big.log small.txt "
orbit ls --sort size tree missing
exits 3 "--sort with something missing"
prints "--sort with something missing prints the rest" '  big\.log$'
TZ=America/New_York orbit ls -r --newer 2026-02-28T23:59:59Z --older 2026-03-01T12:00:01 tree
check "times are UTC wherever we are" is "$(names)" "big.log "

# More than memory holds: the same order as sort's, and nothing stays in the directory of temporary files.
mkdir many scratch
python3 -c '
import os, random
random.seed(1)
for i in range(30000):
    open("many/%08x-%s" % (random.getrandbits(32), "n" * 80), "w").close()'
TMPDIR=$work/scratch orbit ls -0 --sort name many
exits 0 "--sort of more than memory holds"
check "--sort of more than memory holds is sort's order" \
    is "$(tr '\0' '\n' <.out | md5sum)" "$(cd many && find . -type f -printf '%f\n' | sort | md5sum)"
holds "the sort leaves no temporary file" scratch
TMPDIR=$work/missing orbit ls -0 --sort name many
exits 3 "--sort without a place for temporary files"
says_once "--sort without a place for temporary files" "^ERROR \"ls\": cannot make a temporary file for the sort in '.*/missing' \(TMPDIR"
prints_exactly "a failed sort prints nothing" ""
"$ORBIT" ls -0 --sort name many | head -c 100 >.out
check "--sort into head ends" is "${PIPESTATUS[0]}" 0
mkdir full
if mount_small full 1m; then
    TMPDIR=$work/full orbit ls -0 --sort name many
    exits 7 "--sort on a full disk"
    says_once "--sort on a full disk" 'No space left'
    umount full && mounted=
fi

# ---- what is wrong
orbit ls --sort colour
usage "an order that is none" "--sort takes one of name size time, not 'colour'"
orbit ls --larger much
usage "a size that is none" "--larger takes a size such as 64M, not 'much'"
for time in yesterday 3x 7 -1d 2026-02-30 2026-13-01 2026-1-1 2026-01-01T 2026-01-01T25:00 2026-01-01x 99999999999w ''; do
    orbit ls --newer="$time"
    usage "'$time' is no time" "--newer takes an age such as 90m, 12h or 7d or a date such as"
done
orbit ls --larger 5K --smaller 5K
usage "limits that leave nothing" "no size is above --larger and below --smaller"
orbit ls --newer 1d --older 2026-01-01
usage "times that leave nothing" "no time is after --newer and before --older"
orbit stat --sort name tree
usage "a flag of ls elsewhere" "stat does not take --sort"

finish
