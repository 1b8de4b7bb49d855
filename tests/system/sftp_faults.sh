#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a person is told who cannot get in or cannot write by SFTP: one sentence, an exit code, and nothing left behind. And
# that nobody else is told the password.
. "$(dirname "$0")/lib.sh" || exit 1
: "${ORBIT_SSHD_ENV:?where the fixture tells how to reach it}"
: "${ORBIT_SSHD_PASSWORD_ENV:?where the fixture tells how to reach it}"
: "${ORBIT_SSHD_ONE_ENV:?where the fixture tells how to reach it}"
unset XDG_RUNTIME_DIR
export TMPDIR=$work
server() { # server ENV: the one that is spoken of from here on; $here and $there are a directory of ours on it
    set -a
    . "$1" || exit 1
    set +a
    export -n ORBIT_TEST_SSH_PASSWORD # it is looked for in environments
    export ORBIT_SSH_OPTIONS="-F '$ORBIT_TEST_SSH_CONFIG'"
    here=$ORBIT_TEST_SSH_HERE/faults-$$
    there=$ORBIT_TEST_SSH_FILES/faults-$$
    mkdir "$here" && chmod 777 "$here" || exit 1
}
terminal() { run timeout 60 python3 "${BASH_SOURCE[0]%/*}/terminal.py" "$@"; }
leaves() { # leaves WHAT NAME…: our directory there holds just these, also no temporary file, and ssh's is gone
    holds "$1" "$here" "${@:2}"
    check "$1: ssh's directory is gone" [ -z "$(ls -d orbit-ssh-* 2>/dev/null)" ]
}
bytes 20000000 >data
bytes 3000000 >small
truncate -s 2G huge

# ---- who does not get in ----
server "$ORBIT_SSHD_ENV"
refused() { # refused HOST EXITCODE SENTENCE
    orbit cp data "sftp://$1$there/"
    exits "$2" "$1"
    says_once "$1" "$3"
    leaves "$1"
}
refused unknown 4 "^ERROR \"cp data sftp://unknown/.*\": .*the host key of unknown is not known: run 'ssh unknown' once"
refused changed 4 "'changed'|changed: .*remove the old key with: ssh-keygen -f .* -R "
refused stranger 4 "stranger .*\(it takes publickey\)"

# ---- a disk that is full, and one that would be ----
mkdir "$here/disk"
if mount_small "$here/disk" 8m 2>/dev/null; then
    mounted=$here/disk
    orbit cp data "sftp://direct$there/disk/data"
    exits 7 "a full disk"
    says_once "a full disk" "cannot write '$there/disk/data' on 'direct': its disk is full: make room there \(0 bytes are free\)$"
    holds "a full disk" "$here/disk"
    orbit --log info --log-file told cp huge "sftp://direct$there/disk/new/huge"
    exits 7 "a disk without the room"
    says_once "a disk without the room" "it has 2048 MiB, and there are 8 MiB free: make room there$"
    holds "a disk without the room: nothing was sent" "$here/disk" new
    holds "a disk without the room" "$here/disk/new"
    orbit cp small "sftp://direct$there/disk/small"
    exits 0 "what has room"
    mkdir "$here/disk/hollow"
    mount -o remount,ro "$here/disk"
    orbit cp small "sftp://direct$there/disk/small"
    exits 4 "a read-only disk"
    says_once "a read-only disk" "'$there/disk/small' on 'direct': the file system there is mounted read-only$"
    orbit cp small "sftp://direct$there/disk/some/where/small"
    exits 4 "a directory on a read-only disk"
    says_once "a directory on a read-only disk" "the file system there is mounted read-only$"
    orbit mkdir "sftp://direct$there/disk/dir"
    says_once "mkdir on a read-only disk" "the file system there is mounted read-only$"
    orbit rm "sftp://direct$there/disk/small"
    exits 4 "rm on a read-only disk"
    says_once "rm on a read-only disk" "cannot remove '$there/disk/small' on 'direct': the file system there is mounted read-only$"
    same "a read-only disk" small "$here/disk/small"
    orbit rmdir "sftp://direct$there/disk/hollow"
    exits 4 "rmdir on a read-only disk"
    says_once "rmdir on a read-only disk" "/disk/hollow.*the file system there is mounted read-only$"
    orbit rm -r "sftp://direct$there/disk/hollow"
    exits 4 "rm -r of an empty directory on a read-only disk"
    says_once "rm -r of an empty directory on a read-only disk" "the file system there is mounted read-only$"
    umount "$here/disk" && mounted=
fi

# ---- names that no file system takes, and the longest that it does ----
long=$(printf 'n%.0s' {1..255})
for verb in stat cat ls rm mkdir; do
    orbit $verb "sftp://direct$there/${long}n"
    exits 1 "$verb of a name of 256 bytes"
    says_once "$verb of a name of 256 bytes" "n' on 'direct': a name in it has more than 255 bytes, which file systems do not take: use a shorter one$"
done
orbit cp small "sftp://direct$there/${long}n"
exits 1 "cp to a name of 256 bytes"
says_once "cp to a name of 256 bytes" "a name in it has more than 255 bytes, which file systems do not take: use a shorter one$"
leaves "a name of 256 bytes" $(ls "$here")
orbit cp small "sftp://direct$there/$long"
exits 0 "a name of 255 bytes"
orbit mv "sftp://direct$there/$long" "sftp://direct$there/${long/n/m}"
exits 0 "from one name of 255 bytes to another"
orbit rm "sftp://direct$there/${long/n/m}"
exits 0 "rm of a name of 255 bytes"
deep=$there
while [ ${#deep} -lt 3820 ]; do deep=$deep/${long:0:200}; done
orbit cp small "sftp://direct$deep/small"
exits 0 "a path of ${#deep} bytes"
while [ ${#deep} -lt 4080 ]; do deep=$deep/n; done
orbit cp small "sftp://direct$deep/small"
exits 1 "a path of ${#deep} bytes"
says_once "a path of ${#deep} bytes" "the path is too long there, with the name of a temporary file 4,095 bytes at most: use a shorter one$"
orbit rm -rq "sftp://direct$there/${long:0:200}"
exits 0 "rm -r of long paths"
says_nothing "rm -r of long paths"
leaves "long paths" $(ls "$here")

# ---- a quota: here a limit on the size of files, which a server tells in the same way ----
printf '#!/bin/bash\ntrap "" XFSZ\nulimit -f 4096\nexec /usr/lib/openssh/sftp-server\n' >limited
chmod +x limited
mkdir quota
orbit cp -o command="$work/limited" data "sftp://limited$work/quota/data"
exits 7 "a quota"
says_once "a quota" "on 'limited': it takes no more bytes although [0-9]+ MiB are free: a quota, or a limit on the size of files, is"
holds "a quota" quota
rm -rf "$here"

# ---- a host that allows one session, so far away that several are wanted ----
server "$ORBIT_SSHD_ONE_ENV"
far_host 10
export ORBIT_SSH_OPTIONS="-F '$work/far.config'"
orbit cp data "sftp://direct$there/"
exits 0 "one session: up"
says_nothing "one session: up"
same "one session: up" data "$here/data"
orbit cp "sftp://direct$there/data" back
exits 0 "one session: down"
same "one session: down" data back
leaves "one session" data
rm -rf "$here"

# ---- a password ----
server "$ORBIT_SSHD_PASSWORD_ENV"
echo "$ORBIT_TEST_SSH_PASSWORD" >secret
echo swordfish >wrong
terminal wrong "$ORBIT" cp data "sftp://direct$there/data"
exits 4 "a refused password"
prints "a refused password" "ERROR \"cp data sftp://direct.*\": .*the password is wrong"
check "a refused password: one sentence" is "$(grep -c ERROR .out)" 1
leaves "a refused password"
terminal secret "$ORBIT" --log trace --log-file log cp data "sftp://direct$there/data"
exits 0 "a password"
says "a password: asked once, and looked for" '^asked 1 times, looked at [0-9]{2,} files$'
same "a password" data "$here/data"
check "the log is one" grep -q "ssh to direct: connected" log
check "the log does not know it" [ "$(grep -c "$ORBIT_TEST_SSH_PASSWORD" log .out .err | grep -vc ':0$')" = 0 ]
terminal secret "$ORBIT" ls sftp://behind/
exits 4 "a host on the way that takes a password"
says "a host on the way is told no password" '^asked 0 times'
prints "a host on the way that takes a password" 'ERROR "ls sftp://behind/": the host on the way to behind refused user .orbittest. \(it takes password\)'
mkdir "$here/closed" && chmod 755 "$here/closed"
for name in closed/data closed/new/data; do
    terminal secret "$ORBIT" cp data "sftp://direct$there/$name"
    exits 4 "a directory that is not ours"
    prints "a directory that is not ours" "cannot write '$there/$name' on 'direct': permission denied"
done
holds "a directory that is not ours" "$here/closed"
echo old >"$here/closed/data" && chmod 666 "$here/closed/data"
terminal secret "$ORBIT" cp data "sftp://direct$there/closed/data"
exits 4 "our file in a directory that is not"
prints "our file in a directory that is not" "'$there/closed/data' on 'direct': permission denied: its directory takes no new file"
holds "our file in a directory that is not" "$here/closed" data
mkdir "$here/secret" && chmod 700 "$here/secret"
terminal secret "$ORBIT" doctor --write "sftp://direct$there/secret"
exits 4 "doctor where nothing is allowed"
prints "doctor where nothing is allowed" '^warn +list .*permission denied; ask for the right to read the directory'
prints "doctor where nothing is allowed" '^fail +write .*permission denied; ask for the right to write to the directory'
check "doctor knows no rights of S3 here" [ "$(grep -c s3: .out)" = 0 ]
mkdir -p "$here/theirs/inside" && chmod 777 "$here/theirs" && chmod -R 700 "$here/theirs/inside" && mkdir "$here/theirs/inside/deep"
terminal secret "$ORBIT" rm -r "sftp://direct$there/theirs"
exits 4 "rm -r of what cannot be listed"
check "rm -r of what cannot be listed: told once" is "$(grep -c ERROR .out)" 1
check "rm -r of what cannot be listed: it stays" test -d "$here/theirs/inside/deep"
rm -r "$here/theirs"
leaves "a password" data closed secret
rm -rf "$here"
finish
