#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SFTP beside its peers, near and 20 ms away, against a private sshd.

    bench/sftp.py [--build build/release] [--rounds 3] [--size 1G] [--entries 100000] [--files 5000]
                  [--only up,down,list,small] [--where near,far] [--peers orbit,sftp,rclone] [--work /dev/shm]

Wall seconds, CPU seconds (the client's and its ssh processes') and memory: the peaks that the kernel kept of each of these
processes while it lived, added up, looked at every 100 ms, for more would take the processor that is measured. The way there
is tests/support/delay: a proxy that holds each byte back for 10 ms, either way. Needs root, as the server does
(tests/support/sshd.sh). Copies are compared with what was copied. rclone is tuned: 255 KiB requests, 64 of them,
several connections.

All of it runs in a network namespace of its own, whose TCP is that of a Debian kernel (cubic): a congestion control that paces (bbr,
where a machine is set up so) sets a timer for each packet, a fifth of two processors at these rates, and the rounds differ by a third.

Memory for the copies is made sure of, for every peer alike: a virtual machine returns free pages to its host, 2 MiB and more
at a time, and who writes to them next waits for the host (up to 3 s a GiB). So one page of each MiB is held here."""
import argparse
import ctypes
import fcntl
import filecmp
import mmap
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run

SUPPORT = os.path.join(run.ROOT, "tests", "support")


def descendants(pid):
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in open(f"/proc/{pid}/task/{task}/children").read().split():
                found += descendants(int(child))
    except OSError:
        pass
    return found


def most_resident(pid):
    """What it had at most, in bytes, as the kernel counts."""
    try:
        return next(int(line.split()[1]) << 10 for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 0


def measure(argv, env, stdin=None, stdout=os.devnull):
    peak = [0]
    with open(stdout, "wb") as sink, tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE if stdin else subprocess.DEVNULL, stdout=sink, stderr=errors)
        over = threading.Event()

        def sample():
            while not over.wait(0.1):
                peak[0] = max(peak[0], sum(most_resident(pid) for pid in descendants(child.pid)))

        sampler = threading.Thread(target=sample)
        sampler.start()
        if stdin:
            child.stdin.write(stdin.encode())
            child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        over.set()
        sampler.join()
        errors.seek(0)
        if child.returncode:
            raise SystemExit(f"{argv}: exit {child.returncode}: {errors.read()[-400:].decode(errors='replace')}")
    return wall, usage.ru_utime + usage.ru_stime, peak[0] / 2**20


class Server:
    """sshd, a client's configuration for it, and with `far` the proxy before it."""

    def __init__(self, build, work):
        self.work = work
        self.directory = os.path.join(work, "sshd")
        subprocess.run([os.path.join(SUPPORT, "sshd.sh"), "start", self.directory, "0"], check=True)
        self.settings = dict(line.strip().split("=", 1) for line in open(os.path.join(self.directory, "env")))
        self.files = self.settings["ORBIT_TEST_SSH_FILES"]
        self.near = self.settings["ORBIT_TEST_SSH_CONFIG"]
        port_file = os.path.join(work, "delay.port")
        port = self.settings["ORBIT_TEST_SSH_PORT"]
        self.proxy = subprocess.Popen([os.path.join(build, "tests", "support", "delay"), "--to", port, "--port", "0", "--port-file",
                                       port_file, "--ms", "10"])
        while not (os.path.exists(port_file) and open(port_file).read().strip()):
            time.sleep(0.02)
        self.far_port = open(port_file).read().strip()
        self.far = os.path.join(work, "far.config")
        hosts = os.path.join(work, "far.hosts")
        known = open(os.path.join(self.directory, "known_hosts")).read()
        open(hosts, "w").write(known.replace(f"]:{port}", f"]:{self.far_port}"))
        text = open(self.near).read().replace(f"Port {port}", f"Port {self.far_port}")
        open(self.far, "w").write(text.replace(os.path.join(self.directory, "known_hosts") + "\n", hosts + "\n"))

    def stop(self):
        self.proxy.send_signal(signal.SIGTERM)
        self.proxy.wait()
        subprocess.run([os.path.join(SUPPORT, "sshd.sh"), "stop", self.directory])


class Client:
    """How a peer is told to do what. A command, and what it reads."""

    def __init__(self, name, tools, server, where):
        self.name, self.files = name, server.files
        self.config = server.near if where == "near" else server.far
        port = server.settings["ORBIT_TEST_SSH_PORT"] if where == "near" else server.far_port
        self.orbit = [tools["orbit"], "-q"]
        self.sftp = [tools["sftp"], "-q", "-F", self.config, "-b", "-", "direct"]
        self.rclone = [tools["rclone"], "--sftp-host", "127.0.0.1", "--sftp-port", port, "--sftp-user", "root", "--sftp-key-file",
                       os.path.join(server.directory, "key"), "--sftp-chunk-size", "255k", "--sftp-concurrency", "64",
                       "--sftp-disable-hashcheck", "--sftp-shell-type", "none"]
        self.env = dict(os.environ, ORBIT_SSH_OPTIONS=f"-F {self.config}", RCLONE_CONFIG="/dev/null")

    def commands(self, local, remote, entries):
        url = f"sftp://direct{self.files}"
        if self.name == "orbit":
            return {"up": (self.orbit + ["cp", local, f"{url}/{remote}"], None),
                    "down": (self.orbit + ["cp", f"{url}/source", local + ".copy"], None),
                    "list": (self.orbit + ["ls", f"{url}/{entries}/"], None),
                    "small": (self.orbit + ["cp", "-r", os.path.join(os.path.dirname(local), "small") + "/", f"{url}/{remote}.d/"], None)}
        if self.name == "sftp":
            small = os.path.join(os.path.dirname(local), "small")
            return {"up": (self.sftp, f"put {local} {self.files}/{remote}\n"),
                    "down": (self.sftp, f"get {self.files}/source {local}.copy\n"),
                    "list": (self.sftp, f"ls -1f {self.files}/{entries}\n"),
                    "small": (self.sftp, f"put -r {small} {self.files}/{remote}.d\n")}
        at = f":sftp:{self.files}"
        return {"up": (self.rclone + ["copyto", "--ignore-times", local, f"{at}/{remote}"], None),
                "down": (self.rclone + ["copyto", "--multi-thread-streams", "4", f"{at}/source", local + ".copy"], None),
                "list": (self.rclone + ["lsf", f"{at}/{entries}"], None),
                "small": (self.rclone + ["copy", "--transfers", "16", os.path.join(os.path.dirname(local), "small"),
                                         f"{at}/{remote}.d"], None)}


def prepare(options, work, server):
    source = os.path.join(work, "source")
    with open(source, "wb") as file:
        for _ in range(options.size >> 20):
            file.write(os.urandom(1 << 20))
    shutil.copy(source, os.path.join(server.files, "source"))
    os.mkdir(os.path.join(work, "small"))
    for i in range(options.files):
        with open(os.path.join(work, "small", f"file-{i:05d}"), "wb") as file:
            file.write(b"x" * 4096)
    os.mkdir(os.path.join(server.files, "entries"))
    for i in range(options.entries):
        os.close(os.open(os.path.join(server.files, "entries", f"entry-{i:06d}"), os.O_CREAT | os.O_WRONLY, 0o644))
    return source


def keep_free(count):
    """That many bytes of memory that the kernel owns, free but for what keeps them in small pieces; held by the result."""
    pages = mmap.mmap(-1, count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, count, mmap.PAGESIZE):
        pages[at] = 1
    for at in range(0, count, 1 << 20):
        pages.madvise(mmap.MADV_DONTNEED, at + mmap.PAGESIZE, (1 << 20) - mmap.PAGESIZE)
    return pages


def own_network():
    """Into a namespace that has only its loopback; what TCP goes by there, or outside where none can be made."""
    control = "/proc/sys/net/ipv4/tcp_congestion_control"
    new_network, up, get_flags, set_flags = 0x40000000, 1, 0x8913, 0x8914
    if ctypes.CDLL(None).unshare(new_network) == 0:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            flags = fcntl.ioctl(any_socket, get_flags, struct.pack("16sh14x", b"lo", 0))
            fcntl.ioctl(any_socket, set_flags, struct.pack("16sh14x", b"lo", struct.unpack("16sh14x", flags)[1] | up))
        with open(control, "w") as setting:
            setting.write("cubic")
    with open(control) as setting:
        return setting.read().strip()


def check(what, source, remote):
    """The copy is whole; then it goes."""
    if what == "up" and not filecmp.cmp(source, remote, shallow=False):
        raise SystemExit("what came up is not what was sent")
    if what == "down" and not filecmp.cmp(source, source + ".copy", shallow=False):
        raise SystemExit("what came down is not what is there")
    if what == "small" and sum(len(names) for _, _, names in os.walk(remote + ".d")) != len(os.listdir(os.path.join(os.path.dirname(source), "small"))):
        raise SystemExit("not all small files came up")
    for left in (remote, source + ".copy"):
        if os.path.exists(left):
            os.unlink(left)
    shutil.rmtree(remote + ".d", ignore_errors=True)


def row(what, where, options, tools, server, source):
    names = [name for name in options.peers.split(",") if tools.get(name)]
    figures = {name: [] for name in names}
    remote = os.path.join(server.files, "target")
    for turn in range(options.rounds):
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            client = Client(name, tools, server, where)
            if what == "small" and name == "sftp":
                os.mkdir(remote + ".d")
            argv, stdin = client.commands(source, "target", "entries")[what]
            figures[name].append(measure(argv, client.env, stdin))
            check(what, source, remote)
    scale = options.size / run.GIB if what in ("up", "down") else 1
    print(f"\n### {where}: {what}\n\n| | wall s | CPU s{'/GiB' if what in ('up', 'down') else ''} | peak MiB | wall ÷ orbit | CPU ÷ orbit |")
    print("|---|---|---|---|---|---|")
    base = [statistics.median(column) for column in zip(*figures[names[0]])]
    for name in names:
        wall, cpu, _ = (statistics.median(column) for column in zip(*figures[name]))
        peak = max(figure[2] for figure in figures[name])
        print(f"| {name} | {wall:.2f} | {cpu / scale:.2f} | {peak:.1f} | {wall / base[0]:.2f} | {cpu / base[1]:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(run.ROOT, "build", "release"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=run.parse_size, default=run.GIB)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--only", default="up,down,list,small")
    parser.add_argument("--where", default="near,far")
    parser.add_argument("--peers", default="orbit,sftp,rclone")
    parser.add_argument("--work", default="/dev/shm")
    options = parser.parse_args()
    tools = dict(run.peers(options.build), sftp=run.program("sftp"))
    print(f"{os.cpu_count()} processors, TCP by {own_network()}")
    work = tempfile.mkdtemp(prefix="orbit-bench-", dir=options.work)
    held = keep_free(4 * options.size)
    server = Server(options.build, work)
    try:
        source = prepare(options, work, server)
        for where in options.where.split(","):
            for what in options.only.split(","):
                row(what, where, options, tools, server, source)
    finally:
        server.stop()
        shutil.rmtree(work, ignore_errors=True)
        held.close()


if __name__ == "__main__":
    main()
