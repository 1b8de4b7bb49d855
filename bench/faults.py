#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many objects up and down while the store fails in every way at once: is all of it right, and what does it cost?

    bench/faults.py [--build build/release] [--objects 1000] [--largest 64M] [--work DIR] [--only orbit,s5cmd]

Files of 1 KiB to --largest go to the scripted endpoint (which keeps them) and come back, each way by one run of the
command. First without faults, then with: 10 % of requests are refused with 503, 5 % of bodies are cut (of requests and of
replies), 2 % of requests hang for a minute
and come to nothing, 5 % of the replies of CompleteMultipartUpload are lost. Files are compared by
SHA-256; on the store no upload may be open, no object may have been replaced by one with other contents.
"""
import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

from run import KEY, ROOT, SECRET, parse_size, peers

FAULTS = (
    "op=*&probability=0.1&seed=1&status=503",
    "op=GetObject&probability=0.025&seed=2&cut=700",
    "op=GetObject&probability=0.025&seed=3&cut=2M",
    "op=PutObject&probability=0.05&seed=4&upload_stop=700",
    "op=UploadPart&probability=0.05&seed=5&upload_stop=2M",
    "op=*&probability=0.01&seed=6&latency_ms=60000&reset=before",
    "op=GetObject&probability=0.01&seed=7&stall=700&stall_ms=60000",
    "op=UploadPart&probability=0.01&seed=8&latency_ms=60000&reset=before",
    "op=PutObject&probability=0.01&seed=9&latency_ms=60000&reset=before",
    "op=CompleteMultipartUpload&probability=0.05&seed=10&lost=1",
)


class Store:
    def __init__(self, build, work, room):
        port = os.path.join(work, "port")
        self.process = subprocess.Popen([os.path.join(build, "tests/support/s3d"), "--port", "0", "--port-file", port,
                                         "--with-parent", "--store", "--bucket", "faults", "--set", f"keep_bytes={room}",
                                         "--set", "md5=0", "--set", f"keep_object={room}"])
        while not os.path.exists(port) or not open(port).read().strip():
            time.sleep(0.05)
        self.url = "http://127.0.0.1:" + open(port).read().strip()

    def post(self, what):
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/_control/{what}", b"", method="POST")).read()

    def stats(self):
        return json.load(urllib.request.urlopen(f"{self.url}/_control/stats"))


def make_files(folder, count, largest):
    """Sizes from 1 KiB to the largest, small ones more often; the largest four times."""
    os.mkdir(folder)
    chance, block = random.Random(7), os.urandom(1 << 20)
    total = 0
    for i in range(count):
        size = largest if i < 4 else int(1024 * (largest / 1024) ** (chance.random() ** 3))
        with open(os.path.join(folder, f"f{i:05d}"), "wb") as file:
            file.write(i.to_bytes(8, "little"))
            for at in range(8, size, len(block)):
                file.write(block[:min(len(block), size - at)])
        total += size
    return total


def sums(folder):
    found = {}
    for name in sorted(os.listdir(folder)):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else \
                hashlib.sha256(file.read()).hexdigest()
    return found


def one_run(store, commands, env, up, down, expected, faulty):
    """Both ways; returns the row of the table."""
    store.post("reset")
    if faulty:
        for rule in FAULTS:
            store.post("fault?" + rule)
    seconds, codes, told = [], [], ""
    for command in commands:
        began = time.monotonic()
        done = subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        seconds.append(time.monotonic() - began)
        codes.append(done.returncode)
        told = told or done.stderr[-300:].decode(errors="replace")
    stats = store.stats()
    got = sums(down) if os.path.isdir(down) else {}
    wrong = sum(1 for name in expected if got.get(name) != expected[name])
    shutil.rmtree(down, ignore_errors=True)
    well = codes == [0, 0] and not wrong and len(got) == len(expected) and not stats["open_uploads"] and not stats["rewritten"]
    return well, told, [f"{seconds[0]:.1f}", f"{seconds[1]:.1f}", str(stats["total"]),
                        str(sum(stats["failed"].values())), "/".join(map(str, codes)), str(wrong),
                        str(len(set(got) - set(expected))), str(stats["open_uploads"]), str(stats["rewritten"])]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--largest", type=parse_size, default=parse_size("64M"))
    parser.add_argument("--work", default=None, help="a directory with room for all files twice")
    parser.add_argument("--only", default="orbit", help="orbit,s5cmd,rclone")
    args = parser.parse_args()
    tools = peers(args.build)
    work = tempfile.mkdtemp(prefix="orbit-faults-", dir=args.work)
    up, down = os.path.join(work, "up"), os.path.join(work, "down")
    store = None
    try:
        total = make_files(up, args.objects, args.largest)
        expected = sums(up)
        store = Store(args.build, work, 2 * total + (1 << 30))
        env = dict(os.environ, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1",
                   ORBIT_STATE_DIR=os.path.join(work, "state"))
        orbit = [tools["orbit"], "-q", "--endpoint-url", store.url, "cp", "-r"]
        s5cmd = [tools["s5cmd"], "--endpoint-url", store.url, "cp"]
        rclone = [tools["rclone"], "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", store.url,
                  "--s3-force-path-style", "--s3-region", "us-east-1", "--s3-no-check-bucket", "copy"]
        both = {"orbit": [orbit + [up, "s3://faults/tree"], orbit + ["s3://faults/tree", down]],
                "s5cmd": [s5cmd + [up + "/", "s3://faults/tree/"], s5cmd + ["s3://faults/tree/*", down + "/"]],
                "rclone": [rclone + [up, ":s3:faults/tree"], rclone + [":s3:faults/tree", down]]}
        print(f"{args.objects} objects, {total >> 20} MiB, up and down\n")
        print("| | up s | down s | requests | failed | exit codes | wrong or missing | left over | open uploads | rewritten |")
        print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
        good = True
        for name in args.only.split(","):
            for faulty in (False, True):
                well, told, row = one_run(store, both[name], env, up, down, expected, faulty)
                print(f"| {name}{', with faults' if faulty else ''} | " + " | ".join(row) + " |", flush=True)
                if not well and name == "orbit":
                    print(told, file=sys.stderr)
                    good = False
        return 0 if good else 1
    finally:
        if store:
            store.process.terminate()
            store.process.wait()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
