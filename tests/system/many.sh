#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Many files and objects: trees both ways, lists of names, failures in the middle, removals in batches.
. "$(dirname "$0")/lib.sh" || exit 1
start_s3d
state=$work/state
export XDG_STATE_HOME=$state

# A tree with every kind of name that a file system takes.
mkdir -p tree/deep/er && cd tree || exit 1
for name in 'a b' '-dash' $'new\nline' $'byte\xff' '%41+&#?*[x]' '"quote"' $'back\\slash' 'ü'; do
    bytes 1000 >"./$name"
    bytes 1000 >"deep/er/$name"
done
for i in $(seq 300); do echo $i >deep/$i; done
cd ..
count=$(find tree -type f -printf x | wc -c)

orbit cp tree s3://bucket/t
exits 0 "a tree up"
says_nothing "a tree up"
check "a line an object" is "$(grep -ac '^cp tree' .out)" "$count"
orbit cp -q s3://bucket/t back
exits 0 "a tree down"
check "is the same tree" diff -r tree back
orbit cp s3://bucket/t s3://bucket/u
exits 0 "a tree between"
orbit --json cp -n s3://bucket/t s3://bucket/u
exits 0 "a tree that is there, with -n"
check "every line is an object of JSON that says so" is "$(python3 -c '
import json
lines = [json.loads(line) for line in open(".out", errors="surrogateescape")]
print(sum(l["success"] and l["skipped"] and l["operation"] == "cp" for l in lines), len(lines))')" "$count $count"
orbit cp -q s3://bucket/u again
check "nothing was lost between" diff -r tree again
rm -rf again

# mv: what arrived goes, what did not arrive stays.
cp -r tree moving
mkdir -p blocked/deep/7 && : >blocked/deep/7/x
orbit mv moving/deep blocked/deep
exits 1 "mv with a target that is in the way"
says "mv tells the one that failed" '^ERROR "mv moving/deep/7 blocked/deep/7": '
check "one error" is "$(grep -c ^ERROR .err)" 1
check "only its source is still there" is "$(find moving/deep -type f)" moving/deep/7
check "the others have arrived" is "$(find blocked/deep -type f ! -name x -printf x | wc -c)" $(($(find tree/deep -type f -printf x | wc -c) - 1))
orbit mv s3://bucket/u s3://bucket/v
exits 0 "mv between"
orbit ls -r s3://bucket/u/
check "no source is left" is "$(wc -l <.out)" 0

# rm -r: batches, a line a key.
orbit rm -r --stat s3://bucket/v/
exits 0 "rm -r"
check "a line a key" is "$(grep -ac '^rm s3://bucket/v/' .out)" "$count"
requests=$(grep -E '^ *[0-9]+ +(remove|delete)' .err | awk '{ n += $1 } END { print n + 0 }')
check "removals went in batches ($requests)" test "$requests" -lt $((count / 3)) -a "$requests" -gt 0

# Of a batch each key has its own end: the one that fails is told by name, with its reason, and the others are gone.
for i in 1 2 3 4 5; do echo $i | orbit put - s3://bucket/each/$i; done
control 'fault?op=DeleteObject&key=each/3&status=403&code=AccessDenied'
orbit rm s3://bucket/each/1 s3://bucket/each/2 s3://bucket/each/3 s3://bucket/each/4 s3://bucket/each/5
exits 4 "rm of keys, one of them refused"
check "a line each that is gone" is "$(grep -c '^rm s3://bucket/each/[1245]$' .out)" 4
check "and none for the other" is "$(wc -l <.out)" 4
says "the one that failed" '^ERROR "rm s3://bucket/each/3": .*(AccessDenied|[Dd]enied|refused)'
check "one error" is "$(grep -c ^ERROR .err)" 1
orbit --json rm -r s3://bucket/each/
exits 4 "rm -r, the same"
check "one line of JSON, which says why" is "$(python3 -c '
import json
lines = [json.loads(line) for line in open(".out")]
print(len(lines), [l["success"] for l in lines], all(l["error"]["message"] for l in lines))')" "1 [False] True"
control clear
orbit ls -r s3://bucket/each/
check "only that one is left" is "$(awk '{ print $NF }' .out)" 3
orbit rm s3://bucket/each/3
exits 0 "rm of it, once it is allowed"

# Failures in the middle do not stop the rest; their code is that of one kind, or 1.
mkdir -p holes/2 holes/5 && : >holes/2/x && : >holes/5/x
orbit cp tree/deep holes
exits 1 "a tree with two targets in the way"
check "two errors" is "$(grep -c ^ERROR .err)" 2
check "all others arrived" is "$(find holes -type f ! -name x -printf x | wc -c)" $(($(find tree/deep -type f -printf x | wc -c) - 2))
orbit --json cp tree/deep holes
check "one JSON line for each, failed or not" is "$(python3 -c '
import json
lines = [json.loads(line) for line in open(".out", errors="surrogateescape")]
print(len(lines), sum(not l["success"] and bool(l["error"]["message"]) for l in lines))')" \
    "$(find tree/deep -type f -printf x | wc -c) 2"

# Lists of names.
printf 'deep/1\ndeep/nowhere\n../tree/deep/2\n/etc/passwd\n\ndeep/3\na b\nbyte\xff' >list
orbit cp --files-from list tree listed
exits 1 "bad lines"
check "what is good arrived" is "$(find listed -type f | wc -l)" 4
check "byte for byte" test -f $'listed/byte\xff'
check "an error a bad line" is "$(grep -c '^ERROR "cp tree/' .err)" 3
says "a name that leaves the root" "^ERROR \"cp tree/../tree/deep/2 listed/../tree/deep/2\": .*no path below a directory"
says "an absolute name" '^ERROR "cp tree//etc/passwd .*no path below a directory'
says "a name that is not there" '^ERROR "cp tree/deep/nowhere listed/deep/nowhere": '
printf '%s\0' $'new\nline' -dash 'a b' >list0
orbit --json cp --files-from0 list0 tree s3://bucket/l0/
exits 0 "names ended by NUL"
check "JSON lines" is "$(python3 -c '
import json
print(sum(json.loads(line)["success"] for line in open(".out")))')" 3
orbit cp -q --files-from0 list0 s3://bucket/l0 down
exits 0 "names from a store"
check "newlines and all" cmp -s $'tree/new\nline' $'down/new\nline'
printf '../x\n' >leaves
orbit cp --files-from leaves s3://bucket/l0 down
exits 1 "a name of a store that would leave the target"
absent "nothing is outside" x
cp -r tree moved
printf 'deep/1\nmissing\ndeep/2\n' >list
orbit mv --files-from list moved s3://bucket/m
exits 3 "mv of names, one of them missing"
absent "those that arrived are gone" moved/deep/1 moved/deep/2
present "the others stay" moved/deep/3
printf 'deep/1\ndeep/2\n' >list
orbit rm --files-from - s3://bucket/m <list
exits 0 "rm of names"
check "a line a name" is "$(grep -c '^rm s3://bucket/m/deep/[12]$' .out)" 2
orbit ls -r s3://bucket/m/
check "they are gone" is "$(wc -l <.out)" 0
printf 'deep/3\n' >list
orbit mv --files-from list moved moved
check "mv onto itself is refused" is "$code" 2
present "and loses nothing" moved/deep/3
orbit cp --dry-run --files-from list moved dry
exits 0 "--dry-run"
prints_exactly "--dry-run says" "cp moved/deep/3 dry/deep/3"
absent "--dry-run does nothing" dry
orbit cp --files-from nowhere tree x
exits 3 "a list that is not there"
orbit cp --files-from list tree
usage "a list without a target" 'missing arguments'
orbit cp --files-from list a b c
usage "a list with two roots" 'one directory or prefix'
orbit cp --files-from list --include x a b
usage "a list and a filter" 'do not go with a list'

# What a flag says reaches every object of a tree.
mkdir flagged && echo 1 >flagged/1 && echo 2 >flagged/2
orbit cp -q --metadata colour=blue --storage-class STANDARD_IA flagged s3://bucket/flagged
exits 0 "flags for a tree"
for i in 1 2; do
    orbit --json stat s3://bucket/flagged/$i
    prints "metadata of $i" '"colour": ?"blue"'
    prints "class of $i" 'STANDARD_IA'
done

# Where pages take long several are asked for at once, whatever the names are for; they come in the same order.
control "set?list_latency_ms=40"
at_once() { # at_once WHAT ARGUMENT…: lists the same names as with one page at a time, in many requests
    local what=$1 most
    shift
    orbit "$@" --list-workers 1
    exits 0 "$what, a page at a time"
    sed 's/ .*keys-/ keys-/' .out >one.names
    control reset
    orbit "$@"
    exits 0 "$what"
    most=$(curl -sf "http://127.0.0.1:$port/_control/stats" | sed 's/.*"max_concurrent":\([0-9]*\).*/\1/')
    check "$what: pages at once ($most)" test "$most" -gt 4
    sed 's/ .*keys-/ keys-/' .out >many.names
    check "$what: names in the same order" cmp one.names many.names
    check "$what: all of them" is "$(wc -l <many.names)" 30000
}
at_once "rm -r" rm -r --dry-run s3://keys-30000/
at_once "rm of a pattern" rm --dry-run 's3://keys-30000/*'
at_once "cp -r" cp --dry-run s3://keys-30000/ there
at_once "mv of a pattern" mv --dry-run 's3://keys-30000/**' s3://bucket/there/
control "set?list_latency_ms=0"

# Names that come slowly: each is told when it is done, and a signal ends the wait.
mkfifo slow
interruptible "$ORBIT" cp --files-from slow tree slowly >.out 2>.err &
pid=$!
exec 7>slow
echo deep/1 >&7
check "a name is taken before the list ends" wait_until 199 0.05 test -f slowly/deep/1
kill -INT $pid
wait $pid
code=$?
command_line="cp --files-from slow tree slowly"
exits 130 "SIGINT while names are awaited"
says_once "says what was done" 'interrupted after [01] objects?'
exec 7>&-

# 10,000 names from a pipe, and no more memory than for a thousand. RSS_TELLS: no sanitizer has a part in it.
mkdir hundred && for i in $(seq 100); do echo $i >hundred/$i; done
peak() { # peak N: sets $rss, KiB
    command_line="cp --files-from - hundred s3://bucket/hundred"
    python3 -c 'import sys
for i in range(int(sys.argv[1])): print(i % 100 + 1)' "$1" |
        timeout 100 "$MAXRSS" .rss "$ORBIT" cp --files-from - hundred s3://bucket/hundred >.out 2>.err
    code=$?
    exits 0 "$1 names from a pipe"
    check "$1 lines" is "$(wc -l <.out)" "$1"
    rss=$(cat .rss)
}
if [ -n "${RSS_TELLS:-}" ]; then
    peak 5000
    less=$rss
    peak 10000
    check "10,000 names need no more memory ($rss KiB) than 5,000 ($less KiB)" test "$rss" -lt $((less + 2048))
    check "and not more than 32 MiB" test "$rss" -lt 32768
else
    peak 1000
fi
finish
