#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kills an upload with SIGKILL at random moments, lets it finish, and counts what was sent twice.

    bench/killed_upload.py [--build build/release] [--size 10G] [--kills 20] [--rate 40M] [--seed N]

The endpoint (tests/support/s3d) keeps no contents and takes `rate` bytes a second on each connection. The kills are spread
over the time the whole upload takes. The bound: kills × parts in flight × part size."""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(text):
    return int(float(text[:-1]) * UNITS[text[-1]]) if text[-1] in UNITS else int(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--size", default="10G", type=parse_size)
    parser.add_argument("--kills", default=20, type=int)
    parser.add_argument("--rate", default="40M", type=parse_size)
    parser.add_argument("--flight", default=8, type=int)
    parser.add_argument("--part", default="8M", type=parse_size)
    parser.add_argument("--seed", default=None, type=int)
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.randrange(1 << 32)
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="orbit-killed-") as work:
        port_file, file = os.path.join(work, "port"), os.path.join(work, "file")
        with open(file, "wb") as out:
            out.truncate(args.size)
        server = subprocess.Popen([os.path.join(args.build, "tests", "support", "s3d"), "--port", "0", "--port-file",
                                   port_file, "--with-parent", "--access", "key", "--secret", "secret", "--bucket",
                                   "bucket", "--set", f"bandwidth={args.rate}"])
        try:
            while not os.path.exists(port_file) or not os.path.getsize(port_file):
                time.sleep(0.05)
            with open(port_file) as text:
                url = f"http://127.0.0.1:{int(text.read())}"

            def stats():
                with urllib.request.urlopen(url + "/_control/stats") as reply:
                    return json.load(reply)

            environment = dict(os.environ, AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret",
                               AWS_REGION="us-east-1", AWS_ENDPOINT_URL=url,
                               ORBIT_STATE_DIR=os.path.join(work, "state"))
            orbit = os.path.join(args.build, "cli", "orbit")
            command = [orbit, "cp", "--part-size", str(args.part >> 20), "-c", str(args.flight), file,
                       "s3://bucket/killed"]
            each = args.size / (args.rate * args.flight) / args.kills
            kills = 0
            while kills < args.kills:
                upload = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL)
                try:
                    upload.wait(timeout=moments.uniform(0, 1.6 * each))
                    break
                except subprocess.TimeoutExpired:
                    upload.kill()
                    upload.wait()
                    kills += 1
            code = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL).returncode
            told = stats()
            listed = subprocess.run([orbit, "uploads", "ls", "s3://bucket"], env=environment, capture_output=True)
            twice, bound = told["received"] - args.size, kills * args.flight * args.part
            print(f"{args.size / UNITS['G']:.0f} GiB, {kills} kills (seed {seed}): sent twice {twice / UNITS['M']:.0f} "
                  f"MiB of at most {bound / UNITS['M']:.0f}; exit code {code}; open uploads {told['open_uploads']}; "
                  f"uploads ls: {len(listed.stdout)} bytes")
            return 0 if code == 0 and twice <= bound + UNITS["M"] and not told["open_uploads"] and not listed.stdout else 1
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    sys.exit(main())
