#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A download that is killed again and again: how much of it is fetched twice.

    bench/resume.py --size 10G --kills 20

The scripted endpoint generates the object; `orbit cp` is ended with SIGKILL at random moments and started again, then
left to finish. Tells the bytes that the endpoint sent, and the seconds, against those of a run that nobody killed;
the file is compared with the object byte by byte. --bandwidth limits each connection (bytes a second, 0: not at all).
"""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

from run import ROOT, parse_size


class Endpoint:
    def __init__(self, build, work):
        port = os.path.join(work, "port")
        self.process = subprocess.Popen([os.path.join(build, "tests/support/s3d"), "--port", "0", "--port-file", port])
        while not os.path.exists(port) or not open(port).read().strip():
            time.sleep(0.05)
        self.url = "http://127.0.0.1:" + open(port).read().strip()

    def post(self, what):
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/_control/{what}", b"", method="POST")).read()

    def sent(self):
        return json.load(urllib.request.urlopen(f"{self.url}/_control/stats"))["sent"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--size", type=parse_size, default=parse_size("10G"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--bandwidth", type=parse_size, default=0)
    parser.add_argument("--work", default=None, help="a directory with room for the file")
    args = parser.parse_args()
    work = tempfile.mkdtemp(prefix="orbit-bench-", dir=args.work)
    endpoint = Endpoint(args.build, work)
    env = dict(os.environ, AWS_ACCESS_KEY_ID="orbittestkey", AWS_SECRET_ACCESS_KEY="orbittestsecret",
               AWS_REGION="us-east-1")
    source = f"s3://bucket/gen-{args.size}"

    orbit = [os.path.join(args.build, "cli/orbit"), "-q", "--endpoint-url", endpoint.url]

    def start(target):
        return subprocess.Popen(orbit + ["cp", source, target], env=env)

    def is_whole(target):
        cat = subprocess.Popen(orbit + ["cat", source], env=env, stdout=subprocess.PIPE)
        same = subprocess.run(["cmp", "-", target], stdin=cat.stdout).returncode == 0
        cat.stdout.close()
        return cat.wait() == 0 and same

    try:
        endpoint.post(f"set?bandwidth={args.bandwidth}")
        whole, target = os.path.join(work, "whole"), os.path.join(work, "killed")
        began = time.monotonic()
        if start(whole).wait() != 0:
            sys.exit("the copy failed")
        plain = time.monotonic() - began
        os.remove(whole)
        before, kills, began = endpoint.sent(), 0, time.monotonic()
        while True:
            process = start(target)
            try:
                # A run is left a share of the time that all of it takes, so that all kills come.
                process.wait(random.random() * 1.4 * plain / args.kills if kills < args.kills else None)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        seconds = time.monotonic() - began
        time.sleep(1)
        sent = endpoint.sent() - before
        same = process.returncode == 0 and is_whole(target)
        print(f"{args.size >> 20} MiB, {kills} kills: {sent / args.size:.4f} times the bytes, "
              f"{seconds:.1f} s (not killed: {plain:.1f} s), {'identical' if same else 'DIFFERENT'}")
        return 0 if same else 1
    finally:
        endpoint.process.terminate()
        endpoint.process.wait()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
