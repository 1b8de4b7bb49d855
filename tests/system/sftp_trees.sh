#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Trees to, from and on a host that ssh reaches: real directories and links arrive, no name leads out of the target, what
# cannot be meant is not removed, and a name that is a directory is where things go, as with cp.
. "$(dirname "$0")/lib.sh" || exit 1
: "${ORBIT_SSHD_ENV:?where the fixture tells how to reach it}"
set -a
. "$ORBIT_SSHD_ENV" || exit 1
set +a
unset XDG_RUNTIME_DIR
export TMPDIR=$work ORBIT_SSH_OPTIONS="-F '$ORBIT_TEST_SSH_CONFIG'"
here=$ORBIT_TEST_SSH_HERE/trees-$$
there=$ORBIT_TEST_SSH_FILES/trees-$$
mkdir "$here" || exit 1
at=sftp://direct$there

mkdir -p tree/empty/deeper tree/links tree/full
ln -s ../full/file tree/links/first # nothing else is in its directory
ln -s nowhere tree/links/dangling
echo text >tree/full/file
chmod 750 tree/full
chmod 711 tree
touch -d '2020-02-03 04:05:06' tree/empty tree/full tree

# ---- what arrives ----
orbit cp tree "$at/tree"
exits 0 "a tree with empty directories and links"
check "a tree with empty directories and links" diff -r --no-dereference tree "$here/tree"
orbit cp "$at/tree" back
exits 0 "and back"
check "and back" diff -r --no-dereference tree back
orbit cp "$at/tree" "$at/copy"
check "from host to host" diff -r --no-dereference tree "$here/copy"
orbit cp -p tree "$at/kept"
check "kept times of directories" is "$(stat -c '%a %Y' "$here/kept/full" "$here/kept/empty")" \
    "$(stat -c '%a %Y' tree/full tree/empty)"
check "kept times of the tree itself" is "$(stat -c '%a %Y' "$here/kept")" "$(stat -c '%a %Y' tree)"
orbit cp -p "$at/kept" kept-back
check "kept times of the tree itself, back" is "$(stat -c '%a %Y' kept-back)" "$(stat -c '%a %Y' tree)"
orbit cp -p "$at/kept" "$at/kept-again"
check "kept times of the tree itself, from host to host" is "$(stat -c '%a %Y' "$here/kept-again")" \
    "$(stat -c '%a %Y' tree)"
refuses=(-o "command=/usr/lib/openssh/sftp-server -P setstat,fsetstat,lsetstat")
orbit cp -p "${refuses[@]}" tree "sftp://refuses$here/unkept"
exits 0 "a host that lets nobody set modes and times"
says_nothing "a host that lets nobody set modes and times"
check "a host that lets nobody set modes and times" diff -r --no-dereference tree "$here/unkept"
cp -a tree moving
orbit mv "${refuses[@]}" moving "sftp://refuses$here/moved"
exits 0 "mv to a host that lets nobody set modes and times"
absent "mv to a host that lets nobody set modes and times" moving
check "mv to a host that lets nobody set modes and times" diff -r --no-dereference tree "$here/moved"
mkdir -m 700 "$here/stood"
orbit cp -p tree "$at/stood"
check "a directory that stood there keeps its mode" is "$(stat -c %a "$here/stood")" 700
mkdir hollow
orbit cp hollow "$at/hollow"
check "an empty tree is its directory" test -d "$here/hollow"

# ---- links that lead back, followed ----
mkdir -p "$here/round/a" "$here/round/b"
echo text >"$here/round/a/file"
for way in a/x:../b a/self:. b/y:../a b/up:.. again:a; do ln -s "${way#*:}" "$here/round/${way%%:*}"; done
orbit cp -L "$at/round" round
exits 1 "links that lead back"
says "links that lead back" "'b/y/x' is a loop of symbolic links"
check "links that lead back are followed once" test "$(find round -name file | wc -l)" -lt 20
rm -r "$here/round"

# ---- a directory as the target ----
orbit cp tree/full/file "$at/hollow"
same "one file, to a directory named without a slash" tree/full/file "$here/hollow/file"
orbit cp tree/full/file "$at/tree/full/file/"
exits 1 "a file named as a directory"
says "a file named as a directory" "a file stands where a directory is needed"
orbit cp tree "$at/hollow/file"
exits 1 "a tree onto a file"
says "a tree onto a file" "a directory cannot be copied onto a file"
same "a tree onto a file leaves it" tree/full/file "$here/hollow/file"

# ---- renames ----
inode=$(stat -c %i "$here/copy/full/file")
orbit mv "$at/copy" "$at/moved"
exits 0 "mv of a tree on one host"
check "mv of a tree on one host is a rename" is "$(stat -c %i "$here/moved/full/file")" "$inode"
check "mv of a tree on one host leaves nothing" test ! -e "$here/copy"
orbit mv "$at/moved/full/file" "$at/hollow"
exits 0 "mv into a directory"
check "mv into a directory" test -f "$here/hollow/file" -a ! -e "$here/moved/full/file"

# ---- names from an object store ----
start_s3d
for key in ../../out ./dot /rooted 'twice//slashed' fine/name; do
    echo bytes | "$ORBIT" put - "s3://bucket/keys/$key" >/dev/null || failed "put $key"
done
orbit mkdir s3://bucket/keys/marked/
orbit cp s3://bucket/keys/ "$at/keys/"
exits 1 "keys that are no paths"
says "keys that are no paths" "'../../out' is no path below a directory"
check "keys that are no paths: all of them are told" is "$(grep -c 'is no path below' .err)" 4
check "keys that are no paths: the others arrive" is "$(cat "$here/keys/fine/name")" bytes
check "no key leads out" is "$(find "$ORBIT_TEST_SSH_HERE" "$here" -maxdepth 1 -name 'out*' | wc -l)" 0
check "a marker is a directory" test -d "$here/keys/marked"
orbit cp --exclude dangling --exclude first tree s3://bucket/tree/
orbit cp s3://bucket/tree/ "$at/from-s3/"
same "a tree of objects" tree/full/file "$here/from-s3/full/file"

# ---- what is removed ----
ln -s hollow "$here/link"
for name in sftp://direct/ sftp://direct "$at/.." "$at/tree/../tree/." "$at/link/"; do
    orbit rm -r "$name"
    exits 1 "rm -r $name"
done
says "rm -r of what a link names" "it is a symbolic link"
same "and all is still there" tree/full/file "$here/tree/full/file"
check "and all is still there, behind the link" test -f "$here/hollow/file"
orbit rmdir "$at/tree"
exits 1 "rmdir of a directory with something in it"
orbit rm -r "$at/link"
check "rm -r of a link removes the link" test ! -L "$here/link" -a -f "$here/hollow/file"
orbit rm -r "$at/tree"
exits 0 "rm -r"
check "rm -r" test ! -e "$here/tree"

rm -rf "$here"
finish
