#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every verb on local files: what it does, what it prints, how it ends.
. "$(dirname "$0")/lib.sh" || exit 1

bytes 3000000 >data
mkdir tree tree/sub tree/empty
echo one >tree/a.txt
echo two >tree/sub/b.txt
bytes 100 >tree/c.bin

# ---- ls
touch -d '2026-11-22 05:41:00Z' tree/a.txt
orbit ls tree
exits 0 "ls of a directory"
prints "ls prints a file" '^2026-11-22 05:41:00 +4  a\.txt$'
prints "ls prints a directory" '^ +DIR  sub/$'
orbit ls -r tree
prints "ls -r prints what is below" '  sub/b\.txt$'
check "ls -r prints no directories" sh -c "! grep -q DIR '$work/.out'"
orbit ls tree/a.txt
prints "ls of a file" '  a\.txt$'
orbit ls --show-fullpath tree/a.txt
prints_exactly "ls --show-fullpath" tree/a.txt
orbit ls -0 tree/sub
check "ls -0" is "$(tr '\0' '|' <.out)" 'b.txt|'
orbit ls -H data
prints "ls -H" ' 2\.9M  data$'
orbit ls -e data
prints "ls -e" ' 3000000  data$'
orbit ls tree/missing
exits 3 "ls of what is missing"
says_once "ls of what is missing" '^ERROR "ls tree/missing": .+'
orbit ls tree/a.txt/x
exits 1 "ls below a file"
mkdir nothing
orbit ls nothing
exits 0 "ls of an empty directory"
prints_exactly "ls of an empty directory" ""
(cd tree && "$ORBIT" ls >"$work/.out")
prints "ls without arguments" '  a\.txt$'

# ---- stat
orbit stat tree/a.txt
exits 0 "stat"
prints "stat tells the size" '^size: 4$'
prints "stat tells the time" '^last modified: 2026-11-22T05:41:00Z$'
orbit head tree
prints "stat of a directory" '^type: directory$'
orbit stat missing
exits 3 "stat of what is missing"
ln -s a.txt tree/link
orbit stat tree/link
prints "stat of a link" '^type: symlink$'
rm tree/link

# ---- cat
orbit cat tree/a.txt tree/sub/b.txt
prints_exactly "cat of two" "$(printf 'one\ntwo')"
orbit cat data
same "cat of a large file" .out data
orbit cat --range 1-2 tree/a.txt
prints_exactly "a range" ne
orbit cat --range 2- tree/a.txt
prints_exactly "a range to the end" e
orbit cat --range -2 tree/a.txt
prints_exactly "the last bytes" e
orbit cat --range -2 /proc/self/status
exits 1 "cat of the last bytes of what has no length"
says_once "cat of the last bytes of what has no length" 'its length shows only when all of it was read'
orbit cat --range 100-200 tree/a.txt
exits 0 "a range past the end"
prints_exactly "a range past the end" ""
orbit cat missing
exits 3 "cat of what is missing"
orbit cat tree
exits 1 "cat of a directory"
says_once "cat of a directory" '^ERROR "cat tree": .*director'
orbit cat missing tree/a.txt
exits 3 "cat goes on behind a failure"
prints_exactly "cat goes on behind a failure" one

# ---- cp
orbit cp data copy
exits 0 "cp"
prints_exactly "cp says what it did" "cp data copy"
says_nothing "cp"
same "cp" data copy
orbit cp -q data copy
prints_exactly "cp -q" ""
mkdir into
orbit cp data into
same "cp into a directory" data into/data
orbit cp data new/dir/
same "cp into a directory that is made" data new/dir/data
orbit cp data tree/a.txt several
check "several sources make a directory" is "$(ls several | tr '\n' ' ')" "a.txt data "
orbit cp missing x
exits 3 "cp of what is missing"
says_once "cp of what is missing" '^ERROR "cp missing x": '
absent "cp of what is missing" x
orbit cp data data
exits 2 "cp onto itself"
says_once "cp onto itself" "same file"
ln data hard
orbit cp data hard
exits 2 "cp onto itself by another name"
check "cp onto itself leaves the file" is "$(stat -c %s data)" 3000000
orbit cp data tree/a.txt/x
exits 1 "cp below a file"
orbit cp tree/a.txt into/data -n
exits 0 "cp -n"
same "cp -n keeps the target" data into/data
orbit cp --dry-run data dry
prints_exactly "a dry run says what it would do" "cp data dry"
absent "a dry run does nothing" dry
orbit cp --dry-run tree dry
absent "a dry run of a tree does nothing" dry
orbit cp -p tree/a.txt kept
check "cp -p keeps the time" is "$(stat -c %Y kept)" "$(stat -c %Y tree/a.txt)"
orbit cp -u tree/sub/b.txt kept
same "-u copies what is newer" kept tree/sub/b.txt
touch -d 2030-01-01 kept
orbit cp -u tree/a.txt kept
same "-u leaves what is older" kept tree/sub/b.txt
orbit cp -s tree/a.txt kept
same "-s leaves what has the same size" kept tree/sub/b.txt
orbit cp -s data kept
same "-s copies another size" kept data
orbit cp --fsync data synced
same "cp --fsync" data synced
: >empty
orbit cp empty empty2
check "an empty file" test -f empty2 -a ! -s empty2
chmod 640 copy
orbit cp tree/a.txt copy
check "a replaced file keeps its mode" is "$(stat -c %a copy)" 640
(umask 027 && printf '#!/bin/sh\n' >program && chmod 4755 program && "$ORBIT" cp -q program again)
check "a program stays one, within the umask" is "$(stat -c %a again)" 750
mkdir -p programs/in && cp -p program programs/in/ && orbit cp -r programs/ programs-too/
check "in a tree, too" is "$(stat -c %a programs-too/in/program)" 755
orbit cp data /dev/null
exits 0 "cp to a device"
check "a device stays a device" test -c /dev/null
ln -s pointed-to pointer && echo old >pointed-to
orbit cp data pointer
check "cp through a link keeps the link" test -L pointer
same "cp through a link" data pointed-to

# ---- put and pipes
bytes 5000000 | "$ORBIT" put piped >.out 2>.err
code=$?
exits 0 "put of standard input"
check "put of standard input" is "$(stat -c %s piped)" 5000000
bytes 5000000 | cmp -s - piped || failed "put of standard input differs"
"$ORBIT" pipe piped2 <data >.out
same "pipe" data piped2
"$ORBIT" cp - piped3 <data >.out
same "cp from standard input" data piped3
prints_exactly "cp from standard input" "cp - piped3"
orbit cp data -
same "cp to standard output" data .out
orbit put data put-file
same "put of a file" data put-file
orbit put - into/ </dev/null
exits 2 "standard input has no name"
orbit cp <(bytes 1000) from-fifo
check "cp of a FIFO" is "$(stat -c %s from-fifo)" 1000

python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
orbit cat socket
exits 1 "cat of a socket" # it is there: not found would be a lie
rm socket

# ---- mv
orbit mv copy moved
exits 0 "mv"
prints_exactly "mv says what it did" "mv copy moved"
absent "mv takes the source away" copy
present "mv" moved
orbit mv missing x
exits 3 "mv of what is missing"
orbit mv moved into/
present "mv into a directory" into/moved
echo stays >stays
orbit mv -n stays into/moved
exits 0 "mv -n"
present "mv -n keeps the source" stays
orbit mv stays stays
exits 2 "mv onto itself"
present "mv onto itself" stays
mkdir moving moving/sub && echo x >moving/sub/f
orbit mv moving moved-tree
present "mv of a tree" moved-tree/sub/f
absent "mv of a tree takes it away" moving
mkdir moving moving/sub moving/empty && echo y >moving/sub/g
orbit mv moving moved-tree
present "mv of a tree into another" moved-tree/sub/g
present "mv of a tree into another keeps what was there" moved-tree/sub/f
absent "mv of a tree into another takes it away" moving
mkdir whole && echo x >whole/f
orbit mv -p whole whole-moved
exits 0 "mv -p of a whole tree"
says_nothing "mv -p of a whole tree"
present "mv -p of a whole tree" whole-moved/f
if [ -d /dev/shm ] && [ -w /dev/shm ] && [ "$(stat -c %d /dev/shm)" != "$(stat -c %d .)" ]; then
    other=$(mktemp -d /dev/shm/orbit-XXXXXX)
    cp data crossing
    orbit mv crossing "$other/"
    same "mv to another file system" data "$other/crossing"
    absent "mv to another file system takes the source away" crossing
    # A tree arrives with the modes and times of its directories, too.
    mkdir -p crossing/private/inner && echo x >crossing/private/inner/f && chmod 2750 crossing && chmod 700 crossing/private
    touch -d '2001-02-03 04:05:06.7Z' crossing/private/inner/f crossing/private/inner crossing/private crossing
    orbit mv crossing "$other/tree"
    exits 0 "mv of a tree to another file system"
    absent "mv of a tree to another file system takes the source away" crossing
    for name in tree:2750 tree/private:700 tree/private/inner:755 tree/private/inner/f:644; do
        check "mv to another file system keeps mode and time of ${name%:*}" \
            is "$(stat -c '%a %.1Y' "$other/${name%:*}")" "${name#*:} 981173106.7"
    done
    rm -rf "$other"
else
    skip "mv to another file system: there is none"
fi

# ---- rm, rmdir, mkdir
echo x >gone
orbit rm gone
exits 0 "rm"
prints_exactly "rm says what it did" "rm gone"
absent "rm" gone
orbit rm gone
exits 3 "rm of what is missing"
says_once "rm of what is missing" '^ERROR "rm gone": '
orbit rm into
exits 1 "rm of a directory without -r"
present "rm of a directory without -r" into/data
ln -s into dirlink
orbit rm -r dirlink/
exits 1 "rm -r of a link with a slash"
says_once "rm -r of a link with a slash" "symbolic link"
present "rm -r of a link with a slash leaves what it names" into/data
check "rm -r of a link with a slash leaves the link" test -L dirlink
orbit rm -r dirlink
absent "rm -r of a link removes the link" dirlink
present "rm -r of a link leaves its target" into/data
mkdir -p deep/a/b/c deep/d && echo 1 >deep/a/b/c/f && echo 2 >deep/d/g && ln -s ../into deep/link
orbit rm -r --dry-run deep
present "a dry rm" deep/d/g
orbit rm -r deep
exits 0 "rm -r"
absent "rm -r" deep
present "rm -r does not follow links" into/data
prints "rm -r says what it removed" '^rm deep/a/b/c/f$'
mkdir -p inside/sub && echo x >inside/sub/f && echo y >inside/g
for name in . .. ./ sub/.. sub/. ../inside/.; do
    (cd inside/ && "$ORBIT" rm -r "$name" >"$work/.out" 2>"$work/.err")
    code=$?
    command_line="rm -r $name"
    exits 1 "rm -r of '$name'"
    says_once "rm -r of '$name'" 'cannot be removed from within'
    present "rm -r of '$name' removes nothing" inside/sub/f
    present "rm -r of '$name' removes nothing at all" inside/g
done
orbit rm -r --dry-run /
exits 1 "rm -r of the root"
says_once "rm -r of the root" "'/' .*root"
orbit rm -r --dry-run ///
exits 1 "rm -r of the root with more slashes"
orbit mkdir made
check "mkdir" test -d made
orbit mkdir made
exits 1 "mkdir of what exists"
orbit mkdir -p made/a/b
check "mkdir -p" test -d made/a/b
orbit mkdir -p made/a/b
exits 0 "mkdir -p of what exists"
orbit mkdir missing/x
exits 3 "mkdir below what is missing"
orbit rmdir made
exits 1 "rmdir of a directory that is not empty"
orbit rmdir made/a/b
absent "rmdir" made/a/b
orbit rmdir data
exits 1 "rmdir of a file"
present "rmdir of a file" data
orbit rmdir missing
exits 3 "rmdir of what is missing"
orbit mb made
exits 2 "mb of a directory"
orbit rb made
exits 2 "rb of a directory"

# ---- mem
orbit cp data mem://m/x
exits 0 "cp to memory"
prints_exactly "cp to memory" "cp data mem://m/x"
orbit cat mem://m/x
exits 3 "memory ends with its process"

# ---- several failures
orbit rm missing1 missing2
exits 3 "failures of one kind"
orbit rm missing1 into
exits 1 "failures of different kinds"

# ---- permissions and limits
mkdir closed && echo secret >closed/f && chmod 000 closed/f && chmod 755 "$work"
run as_nobody "$ORBIT" cat closed/f
exits 4 "an unreadable file"
says_once "an unreadable file" '^ERROR "cat closed/f": .*[Pp]ermission denied'
mkdir readonly && chmod 555 readonly
run as_nobody "$ORBIT" cp /etc/hostname readonly/x
exits 4 "an unwritable directory"
holds "an unwritable directory" readonly
chmod 755 closed && chmod 644 closed/f && mkdir closed/sub && echo y >closed/sub/g && chmod 000 closed/sub
chmod 777 "$work"
run as_nobody "$ORBIT" ls -r closed
exits 4 "an unreadable directory below"
prints "an unreadable directory does not stop the rest" '  f$'
run as_nobody "$ORBIT" cp closed copied
exits 4 "a tree with an unreadable directory"
present "a tree with an unreadable directory" copied/f

"$ORBIT" cat data >/dev/full 2>.err
code=$?
exits 7 "cat to a full disk"
says_once "cat to a full disk" 'ERROR .*No space left'
"$ORBIT" ls -r / 2>/dev/null | head -n 1 >.out
check "ls into head ends" is "${PIPESTATUS[0]}" 0
"$ORBIT" cat /dev/zero 2>.err | head -c 1000 >.out
check "cat into head ends quietly" is "$(wc -c <.err)" 0
mkdir small
if mount_small small 1m; then
    orbit cp data small/x
    exits 7 "a full disk"
    says_once "a full disk" '^ERROR "cp data small/x": .*[Nn]o space left'
    holds "a full disk leaves nothing" small
    bytes 3000000 | timeout 60 "$ORBIT" put small/y >.out 2>.err
    code=$?
    exits 7 "a full disk under a stream"
    holds "a full disk under a stream leaves nothing" small
    umount small && mounted=
fi

finish
