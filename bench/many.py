#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Many small files to the scripted endpoint, which keeps them, and back, and away again.

    bench/many.py [--build build/release] [--rounds 3] [--objects 10000] [--bytes 4096] [--peers orbit,s5cmd,rclone]

What counts is what an object costs: wall and CPU seconds for a thousand of them, and memory that does not grow with
their number (run it with --objects 100000 too). Every peer moves the same files by one command, with the number in
flight it takes by itself. What is measured and how is run.py's.
"""
import argparse
import os
import shutil
import subprocess
import tempfile

from faults import Store
from run import KEY, ROOT, SECRET, peers, run_row, table


def make_files(folder, count, size):
    """A hundred in each directory: names as they come in trees, not one giant directory."""
    block = os.urandom(size)
    for i in range(count):
        if i % 100 == 0:
            os.makedirs(os.path.join(folder, f"d{i // 100:04d}"))
        with open(os.path.join(folder, f"d{i // 100:04d}", f"f{i:06d}"), "wb") as file:
            file.write((i.to_bytes(8, "little") + block)[:size])


def commands_of(tools, url):
    orbit = [tools["orbit"], "--endpoint-url", url]
    s5cmd = [tools["s5cmd"], "--endpoint-url", url] if tools["s5cmd"] else None
    rclone = [tools["rclone"], "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", url, "--s3-force-path-style",
              "--s3-region", "us-east-1", "--s3-no-check-bucket"] if tools["rclone"] else None
    return orbit, s5cmd, rclone


def rows(tools, store, source, target, count):
    orbit, s5cmd, rclone = commands_of(tools, store.url)
    scale = (count / 1000, "1,000 objects")

    def fresh():
        shutil.rmtree(target, ignore_errors=True)
        os.mkdir(target)

    def filled():
        subprocess.run(orbit + ["cp", "-q", source + "/", "s3://faults/gone"], check=True, stdout=subprocess.DEVNULL)

    def only(**commands):
        return {name: command for name, command in commands.items() if command}

    name = f"{count:,} objects"
    return [
        dict(name=f"{name}: up", reference="s5cmd", scale=scale, commands=only(
            orbit=orbit + ["cp", source + "/", "s3://faults/orbit"],
            s5cmd=s5cmd and s5cmd + ["cp", source + "/", "s3://faults/s5cmd/"],
            rclone=rclone and rclone + ["copy", "--ignore-times", source, ":s3:faults/rclone"])),
        dict(name=f"{name}: down", reference="s5cmd", scale=scale, before=fresh, commands=only(
            orbit=orbit + ["cp", "s3://faults/orbit/*", target + "/"],
            s5cmd=s5cmd and s5cmd + ["cp", "s3://faults/orbit/*", target + "/"],
            rclone=rclone and rclone + ["copy", "--ignore-checksum", ":s3:faults/orbit", target])),
        dict(name=f"{name}: removed", reference="s5cmd", scale=scale, before=filled, commands=only(
            orbit=orbit + ["rm", "-r", "s3://faults/gone"],
            s5cmd=s5cmd and s5cmd + ["rm", "s3://faults/gone/*"])),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--peers", default="orbit,s5cmd,rclone")
    parser.add_argument("--work", default="/dev/shm")
    options = parser.parse_args()
    tools = peers(options.build)
    launcher = os.path.join(options.build, "tests", "system", "maxrss")
    env = dict(os.environ, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1",
               RCLONE_CONFIG="/dev/null", AWS_EC2_METADATA_DISABLED="true")
    os.environ.update(env)  # for what is run to prepare a round
    work = tempfile.mkdtemp(prefix="orbit-many-", dir=options.work)
    source, target = os.path.join(work, "source"), os.path.join(work, "target")
    make_files(source, options.objects, options.bytes)
    store = Store(options.build, work, max(options.bytes * options.objects * 5, 1 << 20))
    try:
        for row in rows(tools, store, source, target, options.objects):
            row["commands"] = {k: v for k, v in row["commands"].items() if k in options.peers.split(",")}
            print(table(row, run_row(row, options.rounds, env, launcher)), flush=True)
    finally:
        store.process.terminate()
        store.process.wait()
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
