#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Keys that are no file names: the command lists, copies, moves and removes each of them (the table is
# tests/support/hostile_keys.c), and none of them ever leads a copy out of its target.
. "$(dirname "$0")/lib.sh" || exit 1
: "${HOSTILE_KEYS:?the program that prints the keys}"
start_s3d --set anonymous=1
"$HOSTILE_KEYS" >keys

# In they go, each with its own name as contents, by a program that knows nothing of this one.
python3 - "$port" <<'END' || failed "the keys are put"
import http.client, sys
from urllib.parse import quote_from_bytes
store = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for key in open("keys", "rb").read().split(b"\0")[:-1]:
    store.request("PUT", "/bucket/" + quote_from_bytes(key, safe="/"), body=key)
    reply = store.getresponse()
    reply.read()
    assert reply.status == 200, (key, reply.status)
END
# A key that ends in '/' is a directory to a listing; "all" has what is none, in the order of a listing.
python3 -c 'import sys
keys = [k for k in open("keys", "rb").read().split(b"\0")[:-1] if not k.endswith(b"/")]
open("all", "wb").write(b"".join(k + b"\0" for k in sorted(keys)))'
count=$(tr -cd '\0' <all | wc -c)
check "the table is there ($count)" test "$count" -gt 150

orbit ls -r -0 s3://bucket/
exits 0 "ls -r -0"
check "every name, byte for byte" cmp .out all
orbit --json ls -r s3://bucket/
exits 0 "ls --json"
check "JSON tells every byte" python3 -c 'import base64, json
names = []
for line in open(".out", encoding="utf-8"):
    entry = json.loads(line)
    names.append(base64.b64decode(entry["key_base64"]) if "key_base64" in entry else entry["key"].encode())
names = [name.removeprefix(b"s3://bucket/") for name in names]
assert sorted(names) == [k for k in open("all", "rb").read().split(b"\0")[:-1]], names'

# From store to store: nothing is lost, in a tree and by a list of names.
orbit mb s3://copies
orbit cp -q s3://bucket/ s3://copies/
exits 0 "cp of all"
"$ORBIT" ls -r -0 s3://copies/ >.out
check "all of them" cmp .out all
orbit cp -q --files-from0 keys s3://bucket s3://listed-by-name
exits 3 "a bucket that is not there"
orbit mb s3://listed
orbit cp -q --files-from0 keys s3://bucket s3://listed
exits 0 "cp of names"
"$ORBIT" ls -r -0 s3://listed/ >.out
check "all of them, by name" cmp .out all
orbit mv -q s3://listed/ s3://moved-to/
orbit mb s3://moved
orbit mv -q s3://listed/ s3://moved/
exits 0 "mv of all"
orbit rb s3://listed
exits 0 "nothing is left where they were, markers included"
orbit rm -q --files-from0 keys s3://copies
exits 0 "rm of names"
orbit rb s3://copies
exits 0 "nothing is left of those"
orbit rm -q -r s3://moved/
exits 0 "rm -r"
orbit rb s3://moved
exits 0 "nor of these"

# To a disk: what has a place below the target arrives, everything else is told, and nothing is anywhere else.
fits() { # fits DIRECTORY: what arrived there is what can be a file, whole
    python3 - "$1" <<'END'
import os, sys
root = sys.argv[1].encode()
keys = open("all", "rb").read().split(b"\0")[:-1]
def is_path(key):
    parts = key.split(b"/")
    return all(p not in (b"", b".", b"..") and len(p) <= 255 for p in parts)
good = [k for k in keys if is_path(k)]
parents = {k[:i] for k in open("keys", "rb").read().split(b"\0") for i in range(len(k)) if k[i:i + 1] == b"/"}
got = {}
for directory, _, names in os.walk(root):
    for name in names:
        path = os.path.join(directory, name)
        got[path[len(root) + 1:]] = open(path, "rb").read()
for key in good:
    if key in parents or any(key.startswith(other + b"/") for other in good):
        continue # a file and a directory of one name: one of them is there
    assert got.pop(key, None) == key, key
for key, contents in got.items():
    assert key in good and contents == key, key
END
}
contained() { # contained WHAT: nothing is outside of the targets
    absent "$1: nothing at the root" /orbit-escaped
    check "$1: nothing beside the target" is "$(ls -A .. | grep -c orbit-escaped)" 0
    check "$1: nothing in the directory itself" is "$(ls -A | grep -Evx 'down|names|one|keys|all|s3d.*|port|\.(out|err|rss|port)|\.s3d.*' | tr '\n' ' ')" ""
}
orbit cp -q s3://bucket/ down
exits 1 "cp to a disk"
check "everything that can be a file" fits down
contained "a tree"
says "a name without a component" '^ERROR "cp s3://bucket//lead down//lead": .*no path below a directory'
says "a name that leads out" '^ERROR "cp s3://bucket/\.\./up .*no path below a directory'
says "a name that would be another one's" '^ERROR "cp s3://bucket/in/\./side .*no path below a directory'
orbit cp -q --files-from0 keys s3://bucket names
exits 1 "cp of names to a disk"
check "everything that can be a file, by name" fits names
contained "names"
mkdir one && cd one || exit 1
while IFS= read -r -d '' key; do # one by one, as if each had been typed
    run timeout 20 "$ORBIT" cp -q --raw "s3://bucket/$key" ./
done < <(grep -zE '^\.|\.\.|^/|//' "$work/all")
cd "$work" || exit 1
contained "one by one"
finish
