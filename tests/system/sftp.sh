#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command and hosts that ssh reaches: every form of a location, the verbs, what is said when it does not work.
. "$(dirname "$0")/lib.sh" || exit 1
: "${ORBIT_SSHD_ENV:?where the fixture tells how to reach it}"
set -a
. "$ORBIT_SSHD_ENV" || exit 1
set +a
unset XDG_RUNTIME_DIR
export TMPDIR=$work ORBIT_SSH_OPTIONS="-F '$ORBIT_TEST_SSH_CONFIG'"
here=$ORBIT_TEST_SSH_HERE/cli-$$
there=$ORBIT_TEST_SSH_FILES/cli-$$
mkdir "$here" || exit 1
at=sftp://direct$there

bytes 20000000 >data
orbit cp data "$at/dir/"
exits 0 "cp"
says_nothing "cp"
same "cp" data "$here/dir/data"
orbit cp "$at/dir/data" back
exits 0 "cp back"
same "there and back" data back
bytes 3000000 | "$ORBIT" put "$at/stream" >.out 2>.err
code=$?
exits 0 "a stream of unknown length"
check "a stream of unknown length" is "$(wc -c <"$here/stream")" 3000000
orbit cat --range -10 "$at/dir/data"
check "a range" cmp -s .out <(tail -c 10 data)

mkdir -p tree/sub && echo one >tree/a.txt && echo two >'tree/sub/b c+d%.txt' && bytes 70000 >tree/c.bin
orbit cp tree "direct:$there/tree"
exits 0 "a tree, scp's way to say where"
check "a tree" diff -r tree "$here/tree"
orbit cp "ssh://direct$there/tree" tree-back
check "a tree and back" diff -r tree tree-back
orbit uploads ls "direct:$there"
exits 0 "unfinished uploads, scp's way to say where"
orbit ls "$at"
prints "ls" '^ +DIR  tree/$'
prints "ls" ' 3000000  stream$'
orbit ls -r "$at/tree"
check "ls -r" is "$(wc -l <.out)" 3
orbit --json stat "$at/tree/a.txt"
prints "stat" '"size":4'
orbit mv "$at/tree/a.txt" "$at/tree/z.txt"
exits 0 "mv"
absent "mv" "$here/tree/a.txt"
present "mv" "$here/tree/z.txt"
orbit cp -n data "$at/stream"
check "no clobber" is "$(wc -c <"$here/stream")" 3000000
orbit stat "$at/nothing"
exits 3 "what is not there"
orbit rm -r "$at/tree"
exits 0 "rm -r"

# ---- what stands at the name ---------------------------------------------------------------------------------
ln -s loop2 "$here/loop1"
ln -s loop1 "$here/loop2"
ln -s no/where "$here/nowhere"
mkfifo "$here/fifo"
orbit cp data "$at/loop1"
exits 1 "a circle of symlinks"
says_once "a circle of symlinks" "the symlink there leads from one to another without end$"
check "a circle of symlinks stays" test -L "$here/loop1"
orbit cp data "$at/nowhere"
exits 0 "a symlink to what is to be"
same "a symlink to what is to be" data "$here/no/where"
check "a symlink to what is to be stays" test -L "$here/nowhere"
orbit cp data "$at/fifo"
exits 1 "a FIFO"
says_once "a FIFO" 'what stands at the name is no regular file$'
orbit cat "$at/fifo"
exits 1 "a FIFO is not read"
says_once "a FIFO is not read" 'it is no regular file$'

# ---- what says that it is empty, and is not --------------------------------------------------------------------
for file in /proc/version /sys/kernel/mm/transparent_hugepage/enabled; do
    [ -r $file ] || continue
    orbit cat sftp://direct$file
    exits 0 "cat of $file"
    check "cat of $file" is "$(cat .out)" "$(cat $file)" # cmp looks at the sizes
    orbit cp sftp://direct$file kernel-file
    exits 0 "cp of $file"
    check "cp of $file" is "$(cat kernel-file)" "$(cat $file)"
done
orbit cp -r sftp://direct/proc/sys/kernel/pty kernel-tree
exits 0 "a tree of proc"
check "a tree of proc" is "$(cat kernel-tree/max)" "$(cat /proc/sys/kernel/pty/max)"
check "nothing is left there" [ -z "$(find "$here" -name '.orbit-*')" ]
absent "rm -r" "$here/tree"

# The connection in so many words: no configuration but the options.
ORBIT_SSH_OPTIONS='' orbit ls -o config_file=/dev/null -o "identity=${ORBIT_TEST_SSH_CONFIG%/config}/key" \
    -o "option=UserKnownHostsFile=${ORBIT_TEST_SSH_CONFIG%/config}/known_hosts" -o option=IdentityAgent=none \
    "sftp://$ORBIT_TEST_SSH_USER@127.0.0.1:$ORBIT_TEST_SSH_PORT$there"
exits 0 "user, host, port, identity"
prints "user, host, port, identity" ' 3000000  stream$'

orbit doctor "$at"
exits 0 "doctor"
prints "doctor" '^ok +connect +direct has let us in '
prints "doctor" '^ok +list '

# ---- what does not work ----
orbit --retry-count 0 ls sftp://unknown/
exits 4 "an unknown host"
says_once "an unknown host" "the host key of unknown is not known: run 'ssh unknown' once"
orbit --retry-count 0 ls sftp://changed/
exits 4 "a changed host key"
says_once "a changed host key" 'ssh-keygen -f .* -R '
orbit --retry-count 0 ls sftp://stranger/
exits 4 "a key that is not let in"
says_once "a key that is not let in" 'it takes publickey'
orbit --retry-count 0 ls sftp://direct:1/
exits 5 "nobody listens"
says_once "nobody listens" 'connection refused'
orbit --retry-count 0 ls sftp://name.invalid/
exits 5 "no such name"
orbit ls sftp://root:hunter2@direct/
check "a password in a URL" [ "$code" != 0 ]
says "a password in a URL" 'password'
check "a password in a URL" [ -z "$(grep hunter2 .err .out)" ]
orbit ls 'sftp://direct?option=ProxyCommand=touch%20made'
check "a program in a URL" [ "$code" != 0 ]
says "a program in a URL" 'not taken from a URL'
orbit ls 'sftp://-oProxyCommand=touch%20made/'
check "an option for a host" [ "$code" != 0 ]
absent "programs of URLs" made
check "nothing is left" [ -z "$(ls -d orbit-ssh-* 2>/dev/null)" ]
rm -rf "$here"
finish
