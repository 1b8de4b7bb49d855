# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For scripts that start a server: a port that nobody listens at, below the range of outgoing connections.
free_port() {
    local port count
    for count in $(seq 200); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    return 1
}
