#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A private SSH server for tests, on loopback, all files in DIR. Where it needs accounts of its own, or a path that sshd
# trusts, it has a mount namespace, so that the machine's are not touched. Nothing reads ~/.ssh. Needs root and
# the Debian packages openssh-server, openssh-client; for proftpd: proftpd-core, proftpd-mod-crypto.
#
#   sshd.sh start DIR PORT [VARIANT…]  starts it and waits until it answers; PORT 0 picks a free one. Writes DIR/env.
#                                      A stale instance in DIR is stopped first.
#   sshd.sh halt DIR                   ends it and every connection to it, as a machine that goes down.
#   sshd.sh again DIR                  starts what was halted, with the same port, keys and files.
#   sshd.sh stop DIR                   ends exactly what start began in DIR. Fine when nothing runs.
#
# Variants, several at once where they make sense:
#   internal (the default) · external (sftp-server by way of a shell) · program=COMMAND (any other as the subsystem)
#   noise (a start-up file that prints) · nosftp (no subsystem) · chroot (forced, everybody's root is DIR/files)
#   password (for user orbittest, by password alone) · certificate (keys signed by a CA alone) · sessions=N (MaxSessions) ·
#   slow (authentication takes two seconds) · proftpd
#
# DIR/env: ORBIT_TEST_SSH_HOST _PORT _USER _CONFIG (a client's configuration, for -F) _FILES (a directory on the server to
# write to, as the server names it) _HERE (the same one, as this machine names it), and _PASSWORD. The configuration knows
# these hosts: 'direct'; 'unknown' and 'changed' (its host key is), 'behind' (by way of 'jump'), 'stranger' (a key that is
# not let in), 'locked' (a key with the passphrase orbittestphrase).
set -u
# shellcheck source=tests/support/free_port.sh
. "$(dirname "${BASH_SOURCE[0]}")/free_port.sh"

fail() {
    echo "sshd.sh: $*" >&2
    exit 1
}

[ $# -ge 2 ] || fail "usage: sshd.sh start DIR PORT [VARIANT…] | halt DIR | again DIR | stop DIR"
mkdir -p "$2" || fail "cannot make $2"
dir=$(cd "$2" && pwd) || exit 1
password=orbittestsecret
phrase=orbittestphrase

# When a process began, "" when it is gone: a pid may have been given to another one, and a server names itself as it likes.
began() {
    local stat
    { IFS= read -r stat <"/proc/$1/stat"; } 2>/dev/null || return
    stat=${stat##*) }
    # shellcheck disable=SC2086 # the fields, from the third one on
    set -- $stat
    [ "$1" = Z ] || echo "${20}"
}

descendants() {
    local child
    for child in $(pgrep -P "$1"); do
        descendants "$child"
        echo "$child"
    done
}

halt() {
    local pid start list waited=0
    [ -s "$dir/pid" ] || return 0
    read -r pid start <"$dir/pid"
    if [ "$(began "$pid")" = "$start" ]; then
        list=$(descendants "$pid")
        # shellcheck disable=SC2086 # a list of pids; the listener first, so that nobody comes in meanwhile
        kill -KILL "$pid" $list 2>/dev/null
        while [ "$(began "$pid")" = "$start" ] && [ $waited -lt 100 ]; do
            sleep 0.05
            waited=$((waited + 1))
        done
    fi
    rm -f "$dir/pid"
}

has() { # has VARIANT
    [[ " $variants " == *" $1 "* ]]
}

# sshd takes roots and programs only from where nobody but root can write, which DIR may not be.
needs_namespace() {
    has password || has chroot || has slow
}

value() { # value NAME: of NAME=VALUE
    [[ " $variants " =~ " $1="([^ ]*) ]] && echo "${BASH_REMATCH[1]}"
}

key() { # key FILE [PASSPHRASE]
    ssh-keygen -q -t ed25519 -N "${2:-}" -C "$1" -f "$dir/$1" </dev/null || fail "ssh-keygen failed"
}

make_keys() {
    local name
    for name in host_key other_host_key key stranger ca; do
        key "$name"
    done
    key locked "$phrase"
    cat "$dir/key.pub" "$dir/locked.pub" >"$dir/safe/authorized_keys"
    if has certificate; then
        ssh-keygen -q -s "$dir/ca" -I orbit -n "$(id -un)" "$dir/key.pub" || fail "ssh-keygen failed"
        : >"$dir/safe/authorized_keys"
    fi
    has proftpd || return 0
    ssh-keygen -q -t rsa -b 2048 -m PEM -N '' -f "$dir/host_key_rsa" </dev/null || fail "ssh-keygen failed"
    ssh-keygen -e -f "$dir/key.pub" >"$dir/safe/authorized_keys.4716"
}

known_host() { # known_host KEY
    echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$dir/$1.pub")"
}

write_client() {
    local host_key=host_key
    has proftpd && host_key=host_key_rsa
    known_host $host_key >"$dir/known_hosts"
    known_host other_host_key >"$dir/known_hosts.changed"
    cat >"$dir/config" <<CONF
Host changed
    UserKnownHostsFile $dir/known_hosts.changed
Host unknown
    UserKnownHostsFile $dir/known_hosts.none
Host behind
    ProxyJump jump
Host stranger
    IdentityFile $dir/stranger
Host locked
    IdentityFile $dir/locked
Host direct changed unknown behind jump stranger locked
    HostName 127.0.0.1
    Port $port
    User $user
Host 127.0.0.1 direct changed unknown behind jump
    IdentityFile $dir/key
Host *
    UserKnownHostsFile $dir/known_hosts
    GlobalKnownHostsFile /dev/null
    IdentitiesOnly yes
    IdentityAgent none
CONF
    cat >"$dir/env.new" <<ENV
ORBIT_TEST_SSH_HOST=127.0.0.1
ORBIT_TEST_SSH_PORT=$port
ORBIT_TEST_SSH_USER=$user
ORBIT_TEST_SSH_CONFIG=$dir/config
ORBIT_TEST_SSH_FILES=$files
ORBIT_TEST_SSH_HERE=$dir/safe/root/files
ORBIT_TEST_SSH_PASSWORD=$password
ENV
}

write_sshd() {
    local subsystem
    subsystem=$(value program) || subsystem=internal-sftp
    has external && subsystem=/usr/lib/openssh/sftp-server
    has noise && subsystem=$trusted/noise
    {
        cat <<CONF
ListenAddress 127.0.0.1
Port $port
HostKey $dir/host_key
PidFile none
StrictModes no
UsePAM no
UseDNS no
PermitRootLogin yes
LogLevel VERBOSE
MaxStartups 100
AuthorizedKeysFile $trusted/authorized_keys
MaxSessions $(value sessions || echo 10)
CONF
        has nosftp || echo "Subsystem sftp ${subsystem//%/ }"
        has certificate && echo "TrustedUserCAKeys $dir/ca.pub"
        has slow && printf 'AuthorizedKeysFile none\nAuthorizedKeysCommand /mnt/slow\nAuthorizedKeysCommandUser root\n'
        if has password; then
            printf 'PubkeyAuthentication no\nKbdInteractiveAuthentication no\nPasswordAuthentication yes\n'
        else
            printf 'KbdInteractiveAuthentication no\nPasswordAuthentication no\n'
        fi
        has chroot && printf 'ForceCommand internal-sftp\nChrootDirectory /mnt/root\n'
    } >"$dir/server.conf"
    # The first value counts for sshd, too.
    has slow && sed -i '\|^AuthorizedKeysFile /mnt|d' "$dir/server.conf"
    printf '#!/bin/sh\nsleep 1\ncat /mnt/authorized_keys\n' >"$dir/safe/slow" # asked twice: for the offer, for the proof
    printf '#!/bin/sh\necho "Welcome to this host."\nexec /usr/lib/openssh/sftp-server\n' >"$dir/safe/noise"
    chmod 755 "$dir/safe/slow" "$dir/safe/noise"
}

write_proftpd() {
    local hash
    hash=$(openssl passwd -6 "$password")
    echo "$user:$hash:0:0::$dir/safe/root/files:/bin/sh" >"$dir/accounts"
    echo "root:x:0:" >"$dir/groups"
    chmod 600 "$dir/accounts" "$dir/groups"
    cat >"$dir/server.conf" <<CONF
ServerName orbit
ServerType standalone
DefaultAddress 127.0.0.1
SocketBindTight on
UseIPv6 off
UseReverseDNS off
Port $port
User root
Group root
RootLogin on
RequireValidShell off
UseFtpUsers off
ModulePath /usr/lib/proftpd
LoadModule mod_sftp.c
AuthOrder mod_auth_file.c
AuthUserFile $dir/accounts
AuthGroupFile $dir/groups
PidFile $dir/proftpd.pid
ScoreboardFile $dir/scoreboard
SystemLog $dir/log
TransferLog none
WtmpLog off
AllowOverride off
AllowOverwrite on
AllowStoreRestart on
AllowRetrieveRestart on
MaxInstances 60
Umask 022
SFTPEngine on
SFTPLog $dir/sftp.log
SFTPHostKey $dir/host_key_rsa
SFTPAuthMethods publickey password
SFTPAuthorizedUserKeys file:$dir/safe/authorized_keys.4716
CONF
}

write_accounts() { # the machine's, and one more with a password, which only this server sees
    local hash
    hash=$(openssl passwd -6 "$password")
    { grep -v '^orbittest:' /etc/passwd; echo "orbittest:x:65534:65534::/mnt/root/files:/bin/sh"; } >"$dir/passwd"
    { grep -v '^orbittest:' /etc/shadow; echo "orbittest:$hash:19000:0:99999:7:::"; } >"$dir/shadow"
    chmod 644 "$dir/passwd"
    chmod 600 "$dir/shadow"
}

answers() {
    local line
    { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || return 1
    IFS= read -r -t 5 line <&3
    exec 3>&-
    [[ "$line" == SSH-2* ]]
}

launch() {
    local pid waited=0 propagation=private program=(/usr/sbin/sshd -D -e -f "$dir/server.conf")
    has proftpd && program=(/usr/sbin/proftpd -n -c "$dir/server.conf")
    mkdir -p /run/sshd # where sshd locks itself up; it is empty
    if needs_namespace; then
        # Where / is no mount point (in a chroot) nothing can be said about it.
        unshare --mount --propagation private true 2>/dev/null || propagation=unchanged
        # shellcheck disable=SC2016 # for the inner shell
        program=(unshare --mount --propagation "$propagation" sh -c '
            mount --bind "$0/safe" /mnt || exit 1
            [ ! -e "$0/passwd" ] || mount --bind "$0/passwd" /etc/passwd || exit 1
            [ ! -e "$0/shadow" ] || mount --bind "$0/shadow" /etc/shadow || exit 1
            exec "$@"' "$dir" "${program[@]}")
    fi
    setsid "${program[@]}" </dev/null >"$dir/out" 2>&1 &
    pid=$!
    echo "$pid $(began $pid)" >"$dir/pid"
    until answers; do
        [ -n "$(began $pid)" ] || return 1
        [ $waited -lt 200 ] || return 1
        sleep 0.05
        waited=$((waited + 1))
    done
}

take_settings() { # what start decided
    # shellcheck disable=SC1091
    . "$dir/settings" 2>/dev/null || fail "nothing was started in $dir"
    trusted=$dir/safe
    if needs_namespace; then trusted=/mnt; fi
}

case $1 in
start)
    [ $# -ge 3 ] || fail "which port?"
    port=$3
    asked=$3
    shift 3
    variants="$*"
    trusted=$dir/safe
    if needs_namespace; then trusted=/mnt; fi # there it is seen as $dir/safe is here
    programs="ssh-keygen sshd unshare pgrep openssl"
    [[ " $variants " == *" proftpd "* ]] && programs="$programs proftpd"
    for program in $programs; do
        command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] || fail "$program is missing (scripts/packages.sh test)"
    done
    [ "$(id -u)" = 0 ] || fail "needs root"
    halt
    rm -rf "${dir:?}"/*
    mkdir -p "$dir/safe/root/files" # sshd trusts /mnt, since nobody but root writes there
    chmod 755 "$dir/safe" "$dir/safe/root"
    chmod 777 "$dir/safe/root/files"
    user=$(id -un)
    files=$dir/safe/root/files
    has password && user=orbittest files=/mnt/root/files
    has chroot && files=/files
    make_keys
    if has password; then write_accounts; fi
    for try in 1 2 3; do
        [ "$asked" != 0 ] || port=$(free_port) || fail "no free port"
        if has proftpd; then write_proftpd; else write_sshd; fi
        write_client
        printf 'port=%s\nvariants=%q\n' "$port" "$variants" >"$dir/settings"
        launch && break
        tail -n 20 "$dir/out" >&2
        halt
        [ $try -lt 3 ] || fail "it does not answer"
    done
    mv "$dir/env.new" "$dir/env"
    ;;
again)
    take_settings
    halt
    launch || fail "it does not answer: $(tail -n 5 "$dir/out")"
    ;;
halt)
    halt
    ;;
stop)
    halt
    rm -rf "${dir:?}"/*
    ;;
*)
    fail "start, halt, again or stop?"
    ;;
esac
exit 0
