# SPDX-License-Identifier: Apache-2.0
# What the tests of copies over SFTP share that are killed in the middle: a server on this machine whose every READ, WRITE
# and flush is counted, and the moment of the kill told by them. Sourced behind lib.sh.
: "${SFTPD:?the scripted SFTP server}"
unset XDG_RUNTIME_DIR
export TMPDIR=$work ORBIT_STATE_DIR=$work/state

mkdir there
SIZE=$((17 << 20))
HALF=$((SIZE / 2 / 32768)) # WRITEs
bytes $SIZE >data
to=sftp://host$work/there
with=-o # whose option the server is: --source-o, --destination-o

# The server on this machine: a WRITE takes 32 KiB; each that was done leaves a letter.
server() { # server FAULT…: how the next ones behave
    echo "exec '$SFTPD' tally=9 $* 9>>'$work/tally'" >serve
}
sftp() { orbit "$1" $with command="sh $work/serve" "${@:2}"; }
tally() { cat tally 2>/dev/null | tr -cd "$1" | wc -c; }
tallied() { [ "$(tally "$1")" -ge "$2" ] || gone $pid; }
temporary() { find there -name '.orbit-*'; }
temporaries() { temporary | wc -l; }
journals() { find state -name '*.upload*' 2>/dev/null | wc -l; }

# killed LETTER COUNT COMMAND…: by a signal that nobody can catch, once so many are counted.
killed() {
    local letter=$1 count=$2
    shift 2
    rm -f tally
    interruptible "$ORBIT" "$1" $with command="sh $work/serve" "${@:2}" <"${INPUT:-/dev/null}" >.out 2>.err &
    pid=$!
    wait_until 3000 0.01 tallied "$letter" "$count"
    sleep 0.3 # the journal is written ten times a second
    kill -"${SIGNAL:-KILL}" $pid 2>/dev/null
    wait $pid 2>/dev/null
    code=$?
}
goes_on() { # goes_on WHAT FILE NAME: and is whole
    exits 0 "$1"
    same "$1" "$2" "there/$3"
    check "$1: no temporary is left" is "$(temporaries)" 0
    check "$1: no journal is left" is "$(journals)" 0
}
