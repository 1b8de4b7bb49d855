#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Trees, patterns and odd names.
. "$(dirname "$0")/lib.sh" || exit 1

mkdir -p src/a/b src/c src/empty
for file in top.txt a/one.txt a/b/two.txt a/b/three.log c/four.txt .hidden c/.dot; do
    echo "$file" >"src/$file"
done

# ---- trees
orbit cp src dst
exits 0 "cp of a tree"
check "cp of a tree copies what is in it" diff -r src dst
check "cp of a tree says each file" is "$(sort .out | head -n 1)" "cp src/.hidden dst/.hidden"
orbit cp src/ dst2
check "with a slash it means the same" diff -r src dst2
mkdir dst3
orbit cp src dst3
check "into a directory that exists, too" diff -r src dst3
orbit cp src mem://m/x
exits 0 "cp of a tree to memory"
orbit cp src src/a/inside
exits 2 "cp of a tree into itself"
absent "cp of a tree into itself" src/a/inside
orbit cp src src
exits 2 "cp of a tree onto itself"
echo file >in-the-way
orbit cp src in-the-way
exits 1 "cp of a tree onto a file"
orbit cp src/top.txt src/a in-the-way
exits 1 "several sources onto a file"
orbit cp -p src dst-p
check "cp -p keeps times" is "$(stat -c %Y dst-p/a/b/two.txt dst-p/a)" "$(stat -c %Y src/a/b/two.txt src/a)"
orbit cp --include '*.txt' src only
check "--include" is "$(cd only && find . -type f | sort | tr '\n' ' ')" "./a/b/two.txt ./a/one.txt ./c/four.txt ./top.txt "
orbit cp --exclude 'a/**' --exclude '.*' src without
check "--exclude" is "$(cd without && find . -type f | sort | tr '\n' ' ')" "./c/four.txt ./top.txt "
orbit cp --json src dst4
check "--json says each file" is "$(grep -c '"success":true' .out)" 7

# ---- links
ln -s top.txt src/link
ln -s /etc src/outside
orbit cp src linked
check "a link stays a link" is "$(readlink linked/link)" top.txt
check "a link out of the tree is not followed" test -L linked/outside
orbit cp -L src/link followed
check "a named link is followed" test -f followed -a ! -L followed
rm src/outside
orbit cp -L src linked-L
check "-L copies what a link names" sh -c "[ ! -L linked-L/link ] && cmp -s src/top.txt linked-L/link"
orbit cp src mem://m/x
says "a link that the target cannot hold is told" "left out 'src/link'"
exits 0 "a link that the target cannot hold is no failure"
rm src/link

# A link in the target does not lead out of it.
mkdir away trap && ln -s ../away trap/a
orbit cp src trap
check "a link in the target is not written through" is "$(ls -A away | wc -l)" 0
exits 1 "a link in the way is a failure"
present "the rest is copied all the same" trap/c/four.txt
mkfifo src/fifo
orbit cp src with-fifo
exits 0 "a FIFO in a tree"
says "a FIFO in a tree is left out" "left out 'src/fifo'"
rm src/fifo

# ---- patterns
orbit ls 'src/*.txt'
prints "ls of a pattern" '  top\.txt$'
check "a star stays within its component" is "$(wc -l <.out)" 1
orbit ls 'src/**.txt'
check "two stars cross slashes" is "$(wc -l <.out)" 4
orbit ls 'src/*/one.txt'
prints "a star in the middle" '  a/one\.txt$'
orbit ls 'src/[ac]/*.t?t'
check "sets and question marks" is "$(wc -l <.out)" 2
orbit ls 'src/*.none'
exits 3 "a pattern that matches nothing"
says_once "a pattern that matches nothing" "nothing matches"
orbit cp 'src/**/*.txt' globbed
check "cp of a pattern keeps what the stars stand for" \
    is "$(cd globbed && find . -type f | sort | tr '\n' ' ')" "./a/b/two.txt ./a/one.txt ./c/four.txt ./top.txt "
orbit cp 'src/[ac]' globbed2
check "directories that match are copied as a whole" \
    is "$(cd globbed2 && find . -type f | sort | tr '\n' ' ')" "./a/b/three.log ./a/b/two.txt ./a/one.txt ./c/.dot ./c/four.txt "
orbit cat 'src/a/b/*'
check "cat of a pattern" is "$(sort .out | tr '\n' ' ')" "a/b/three.log a/b/two.txt "
echo literal >'src/x[1].txt'
orbit cat 'src/x[1].txt'
prints_exactly "a name that looks like a pattern is found as it is" literal
orbit cat --raw 'src/*.txt'
exits 3 "--raw takes a star as it is"
orbit rm 'globbed/**/*.txt'
exits 0 "rm of a pattern"
check "rm of a pattern" is "$(find globbed -type f | wc -l)" 0
orbit mv 'globbed2/*' moved
check "mv of a pattern" is "$(find moved -type f | wc -l)" 5
check "mv of a pattern leaves no directories" is "$(ls -A globbed2 | wc -l)" 0
# The shell's own expansion: several sources.
orbit cp src/*.txt shell
check "several sources" is "$(ls shell | tr '\n' ' ')" "top.txt x[1].txt "

# ---- odd names
mkdir odd
names=('with space' 'per%cent' 'plus+' 'hash#' 'question?' 'star*' 'back\slash' '~tilde' '-dash' 'a:b' 'é' $'new\nline'
    $'tab\t' $'\xff\xfe' $'esc\e[31m' "quote'\"" "$(printf 'x%.0s' {1..255})")
for name in "${names[@]}"; do
    printf '%s' "$name" >"odd/$name"
done
orbit cp odd odd-copy
exits 0 "cp of odd names"
check "cp of odd names" diff -r odd odd-copy
orbit mv odd-copy odd-moved
check "mv of odd names" diff -r odd odd-moved
for name in "${names[@]}"; do
    orbit cat --raw "odd/$name"
    checks=$((checks + 1))
    [ "$(cat .out; echo .)" = "$name." ] || failed "cat of an odd name"
done
orbit ls -0 odd
check "ls -0 of odd names" is "$(tr -cd '\0' <.out | wc -c)" "${#names[@]}"
orbit --json ls odd
check "JSON of odd names" python3 -c '
import base64, json, os, sys
seen = set()
for line in open(sys.argv[1], "rb").read().decode("utf-8").splitlines():
    entry = json.loads(line)
    raw = base64.b64decode(entry["key_base64"]) if "key_base64" in entry else entry["key"].encode()
    seen.add(raw.split(b"/", 1)[1])
sys.exit(seen != set(os.listdir(b"odd")))' .out
# What a terminal is shown cannot command it.
script -qec "'$ORBIT' ls odd" /dev/null >.out 2>&1
check "no escape reaches a terminal" sh -c "! grep -q \$(printf '\\033') '$work/.out'"
prints "an escape is shown" 'esc\\x1b\[31m'
prints "a newline is shown" 'new\\nline'
orbit rm -r odd-moved
absent "rm of odd names" odd-moved
mkdir -p deep && (
    cd deep && for i in $(seq 60); do
        mkdir "directory-$i" && echo "$i" >"file-$i" && cd "directory-$i" || exit
    done
    echo bottom >file
)
orbit cp deep deep-copy
check "a deep tree" diff -r deep deep-copy
run bash -c "ulimit -n 32 && exec '$ORBIT' ls -r deep"
exits 0 "a deep tree with few descriptors"
check "a deep tree with few descriptors is listed" is "$(wc -l <.out)" 61
run bash -c "ulimit -n 32 && exec '$ORBIT' cp deep deep-few"
exits 0 "a deep tree is copied with few descriptors"
check "a deep tree is copied with few descriptors" diff -r deep deep-few
run bash -c "ulimit -n 32 && exec '$ORBIT' rm -r deep-few"
absent "a deep tree is removed with few descriptors" deep-few
orbit rm -r deep-copy
absent "rm of a deep tree" deep-copy

# The store of a tree is closed when the last removal is told, at once: by then nobody holds it any more.
for ((i = 1; i <= 60; i++)); do
    mkdir -p small/a small/b/c small/d && touch small/a/1 small/b/c/3 small/d/4
    run "$ORBIT" rm -r small/
    [ $code = 0 ] && [ ! -s .err ] || break
done
exits 0 "rm -r of a small tree, $i times"
says_nothing "rm -r of a small tree, $i times"

finish
