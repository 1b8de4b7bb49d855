#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Includes point down only. Prints every include that does not, and fails.
set -eu
cd "${1:-$(dirname "$0")/..}"

# What each folder may include, by the first component(s) of the include.
allowed() {
    case "$1" in
    src/base) echo "base" ;;
    src/run) echo "base run" ;;
    src/wire) echo "base run wire" ;;
    src/backend) echo "base run backend/backend.h" ;;
    src/backend/mem) echo "base run backend/backend.h backend/mem" ;;
    src/backend/local) echo "base run backend/backend.h backend/local" ;;
    src/backend/sftp) echo "base run wire backend/backend.h backend/sftp" ;;
    src/backend/s3) echo "base run wire backend/backend.h backend/s3" ;;
    src/backend/s3/keys) echo "base run wire backend/backend.h backend/s3/keys" ;;
    src/engine) echo "base run backend/backend.h engine" ;;
    src/client) echo "base run backend/backend.h engine client" ;;
    src/stream) echo "base run backend/backend.h engine client stream" ;;
    src/transfer) echo "base run backend/backend.h engine client stream transfer" ;;
    cli) echo "cli" ;;
    *) echo "" ;;
    esac
}

bad=0
for folder in src/base src/run src/wire src/backend src/backend/mem src/backend/local src/backend/s3 src/backend/s3/keys src/backend/sftp src/engine \
    src/client src/stream src/transfer cli; do
    [ -d "$folder" ] || continue
    for file in "$folder"/*.c "$folder"/*.h; do
        [ -f "$file" ] || continue
        while IFS=: read -r line include; do
            [ -n "$line" ] || continue
            include=$(printf '%s' "$include" | sed 's/^[^"]*"\([^"]*\)".*/\1/')
            ok=0
            for rule in $(allowed "$folder"); do
                case "$include" in
                "$rule" | "$rule"/*) ok=1 ;;
                esac
            done
            # A nested folder is not allowed by its parent's name alone.
            case "$folder:$include" in
            cli:*) [ "${include#*/}" = "$include" ] && ok=1 ;;
            esac
            if [ "$ok" = 0 ]; then
                echo "$file:$line: \"$include\" is not below $folder"
                bad=1
            fi
        done <<LIST
$(grep -n '^#include "' "$file" || true)
LIST
        # Only the public headers, seen from the command.
        case "$folder" in
        cli) if grep -n '#include "\(base\|run\|wire\|backend\|engine\|client\|stream\)/' "$file"; then bad=1; fi ;;
        esac
    done
done
exit "$bad"
