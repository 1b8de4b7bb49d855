#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The static checks: formatting, clang-tidy (from the build directory's compile commands), layers.
set -eu
cd "$(dirname "$0")/.."
build="${1:-build/clang}"

files=$(git ls-files "*.c" "*.h")
# shellcheck disable=SC2086
clang-format --dry-run --Werror $files

scripts/layers.sh

sources=$(git ls-files 'src/*.c' 'cli/*.c' 'examples/*.c')
# shellcheck disable=SC2086
printf '%s\n' $sources | xargs -P "$(nproc)" -n 8 clang-tidy -p "$build" --quiet --warnings-as-errors='*'
