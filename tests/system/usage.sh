#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The command line: flags, help, usage errors.
. "$(dirname "$0")/lib.sh" || exit 1

orbit
usage "no verb" "a verb is missing"
orbit lst
usage "a misspelt verb" "unknown verb 'lst', did you mean 'ls'"
orbit frobnicate
usage "an unknown verb" "unknown verb 'frobnicate'$"
orbit cp --recursve a b
usage "a misspelt flag" "orbit cp: unknown flag '--recursve', did you mean '--recursive'\?"
orbit --jsno ls
usage "a misspelt flag before the verb" "did you mean '--json'"
orbit ls --fsync
usage "a flag of another verb" "ls does not take --fsync"
orbit --fsync ls
usage "a flag of another verb before it" "ls does not take --fsync"
orbit ls -Z
usage "an unknown letter" "unknown flag '-Z'"
orbit ls --json=yes
usage "a value for a switch" "--json takes no value"
orbit ls --region
usage "a missing value" "--region needs a value"
orbit cp a
usage "a missing target" "missing arguments: orbit cp SOURCE… TARGET"
orbit version x
usage "too many arguments" "too many arguments"
orbit ls --memory 1K
usage "a budget below the floor" "--memory 1K: .*"
check "a budget below the floor is one sentence" is "$(wc -l <"$work/.err")" 2
ORBIT_MEMORY=1K orbit ls
usage "a budget below the floor in the environment" "ORBIT_MEMORY 1K: "
ORBIT_LANES=two orbit ls .
usage "a number of lanes that is none" "ORBIT_LANES takes a number of threads, 0 to 64, not 'two'"
for lanes in 0 1 2; do
    ORBIT_LANES=$lanes orbit ls .
    exits 0 "$lanes lanes"
done
orbit ls --memory many
usage "a size that is none" "--memory takes a size such as 64M, not 'many'"
orbit ls --log loud
usage "a log level that is none" "--log takes error, warn, info, debug or trace, not 'loud'"
orbit cat --range 9-3 x
usage "a range that ends before it begins" "--range takes"
HOME=$work orbit ls --profile x s3://bucket
usage "a profile that is not there" "the profile 'x' is neither in '.*/.aws/config' nor in"
orbit cp --metadata broken a b
usage "metadata without a value" "--metadata takes NAME=VALUE, not 'broken'"
orbit cat --verify maybe x
usage "a word that is none" "--verify takes one of default full off, not 'maybe'"
orbit cp --continue --no-resume a b
usage "flags that exclude each other" "--continue and --no-resume do not go together"
orbit cp --continue -n a b
usage "others that do" "--continue and --no-clobber do not go together"
orbit cp --sse-c-key-file /nonexistent a b
usage "a missing key file" "cannot read the key file"
echo short >key
orbit cp --sse-c-key-file key a b
usage "a short key" "holds no key of 32 bytes"
orbit ls ftp://host/x
usage "an unknown scheme" "ftp"
orbit ls s3:///key
usage "no bucket" "bucket"
orbit ls s3://KEY:verysecret@bucket/
usage "a secret in a URL" "credentials"
check "a secret in a URL is not repeated" sh -c "! grep -q verysecret '$work/.err'"
orbit ls -o secret_access_key=verysecret s3://bucket
exits 2 "a secret as a setting"
check "a secret as a setting is not repeated" sh -c "! grep -q verysecret '$work/.err'"
orbit ls ''
usage "an empty argument" "argument 1 is empty"
orbit cp - -
usage "input to output" "standard input"
orbit mv - x
usage "mv of standard input" "standard input"
AWS_PROFILE=work orbit ls
exits 0 "AWS_PROFILE alone is no error"

orbit --help
exits 0 "help"
says_nothing "help"
prints "help" "^usage: orbit VERB"
prints "help names the verbs" "^  cp +copy files"
for verb in ls stat head cat put pipe cp mv rm mkdir rmdir mb rb version help; do
    orbit $verb --help
    exits 0 "help of $verb"
    prints "help of $verb" "^usage: orbit "
    orbit --help $verb
    exits 0 "help before $verb"
    check "no line of the help of $verb is longer than 120 columns" sh -c "! LC_ALL=C.UTF-8 grep -E '^.{121}' '$work/.out'"
done
orbit help cp
prints "help cp" "^usage: orbit cp"
orbit help nothing
usage "help of nothing" "unknown verb 'nothing'"
orbit version
prints "version" "^orbit [0-9]+\.[0-9]+\.[0-9]+$"
orbit --version
prints "--version" "^orbit [0-9]+\.[0-9]+\.[0-9]+$"

# Flags stand anywhere; "--" ends them.
mkdir d && echo one >d/a && echo two >d/--json
orbit -q ls d --json
prints "a flag behind an argument" '"key":"d/a"'
orbit --json ls d
prints "a flag before the verb" '"key":"d/a"'
cd d
orbit cat -- --json
prints_exactly "an argument that looks like a flag" two
orbit ls -He .
exits 0 "letters together"
cd ..
orbit cat - <d/a
prints_exactly "cat of standard input" one

# Help that cannot be written is an error.
"$ORBIT" --help >/dev/full 2>.err
code=$?
exits 7 "help to a full disk"

finish
