#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The fuzzers (tests/fuzz), from their corpora: those of SFTP (its packets, and a session) for as long as is said, the others for a third.
# What they find new is dropped; an input that breaks something is shown, to be kept in the corpus.
#   scripts/fuzz.sh [BUILD [SECONDS]]
set -eu
cd "$(dirname "$0")/.."
build="${1:-build/fuzz}"
seconds="${2:-30}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

for target in sftp session xml text reply; do
    case "$target" in
    sftp | session) time="$seconds" ;;
    *) time=$(((seconds + 2) / 3)) ;;
    esac
    mkdir "$work/$target"
    code=0
    "$build/tests/fuzz/fuzz_$target" -max_total_time="$time" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -artifact_prefix="$work/" "$work/$target" "tests/fuzz/corpus/$target" >"$work/log" 2>&1 || code=$?
    grep -E '^(Done [0-9]+ runs|#[0-9]+.*DONE)' "$work/log" | tail -n 1 | sed "s/^/fuzz_$target: /"
    [ "$code" -eq 0 ] && grep -q '^Done [1-9]' "$work/log" && continue
    tail -n 60 "$work/log"
    echo "fuzz_$target: exit code $code; the input, in base64:"
    cat "$work"/crash-* "$work"/timeout-* "$work"/oom-* "$work"/leak-* 2>/dev/null | base64
    exit 1
done
