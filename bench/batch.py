#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scheme that a sliding window replaces, as a comparison: N ranges at a time, and the next N when all are there.

    bench/batch.py URL SIZE [--ranges 8] [--bytes 8M] -- CURL [OPTION…]

Each batch is one curl with N parallel transfers, whose bytes are thrown away: cheaper than what it stands for.
"""
import subprocess
import sys


def main():
    own, curl = sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
    url, size = own[0], int(own[1])
    options = dict(zip(own[2::2], own[3::2]))
    ranges, length = int(options.get("--ranges", 8)), int(options.get("--bytes", 8 << 20))
    at = 0
    while at < size:
        argv = [curl[0], "--parallel", "--parallel-immediate", "--parallel-max", str(ranges)]
        for _ in range(ranges):
            if at >= size:
                break
            end = min(at + length, size)
            if len(argv) > 5:
                argv.append("--next")
            argv += curl[1:] + ["-r", f"{at}-{end - 1}", "-o", "/dev/null", url]
            at = end
        if subprocess.run(argv).returncode != 0:
            raise SystemExit(f"a range before {at} failed")


if __name__ == "__main__":
    main()
