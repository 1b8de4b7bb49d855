#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One big file over one lane and over two, from a server that costs next to nothing.

    bench/lanes.py [--build build/release] [--rounds 5] [--size 2G] [--tls]

nginx sends a file of a bucket's directory with sendfile; the same get runs with ORBIT_LANES=1 and =2, in turn. Two
lanes are worth having where they are faster in wall time at about the same CPU time. Needs nginx (`scripts/packages.sh
test` brings it); what is measured and how is run.py's.

Where the machine's congestion control is BBR, a sender on the loopback interface starts a timer for each segment, which in
a virtual machine costs nginx as much as the whole get costs Orbit, and fills the second of two cores. As root everything
runs in a network namespace of its own with CUBIC, as servers have by default; else this says which one was in use.
"""
import argparse
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run

CONFIG = """
daemon off; pid {work}/nginx.pid; error_log {work}/error.log; worker_processes 2; user root;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; sendfile_max_chunk 1m; tcp_nopush on; etag on;
  client_body_temp_path {work}/t1; proxy_temp_path {work}/t2; fastcgi_temp_path {work}/t3;
  uwsgi_temp_path {work}/t4; scgi_temp_path {work}/t5;
  server {{ listen 127.0.0.1:{port} {tls}; root {work}/root; {certificate} }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_nginx(work, tls):
    port = free_port()
    certificate = ""
    if tls:
        subprocess.run([os.path.join(run.ROOT, "tests", "support", "tls.sh"), "make", work], check=True, stdout=subprocess.DEVNULL)
        certificate = f"ssl_certificate {work}/server.pem; ssl_certificate_key {work}/server.key;"
    with open(os.path.join(work, "nginx.conf"), "w") as file:
        file.write(CONFIG.format(work=work, port=port, tls="ssl" if tls else "", certificate=certificate))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    server = subprocess.Popen([program, "-c", os.path.join(work, "nginx.conf"), "-e", os.path.join(work, "error.log")])
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server, f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        except OSError:
            time.sleep(0.05)
    raise SystemExit("nginx did not start")


CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def enter_namespace():
    if os.geteuid() == 0 and shutil.which("unshare") and "ORBIT_BENCH_NAMESPACE" not in os.environ:
        os.environ["ORBIT_BENCH_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable] + sys.argv)
    if "ORBIT_BENCH_NAMESPACE" in os.environ:
        with socket.socket() as any_socket:
            flags = struct.pack("16sh14x", b"lo", IFF_UP)
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, flags)
        with open(CONGESTION, "w") as file:
            file.write("cubic")
    with open(CONGESTION) as file:
        print(f"congestion control: {file.read().strip()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(run.ROOT, "build", "release"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=run.parse_size, default=2 * run.GIB)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--work", default="/dev/shm")
    options = parser.parse_args()
    enter_namespace()
    tools = run.peers(options.build)
    launcher = os.path.join(options.build, "tests", "system", "maxrss")
    work = tempfile.mkdtemp(prefix="orbit-lanes-", dir=options.work)
    os.makedirs(os.path.join(work, "root", "bucket"))
    target = os.path.join(work, "target")
    with open(os.path.join(work, "root", "bucket", "file"), "wb") as file:
        block = os.urandom(1 << 20)
        for i in range(options.size >> 20):
            file.write(i.to_bytes(8, "little") + block[8:])

    def fresh():
        if os.path.exists(target):
            os.unlink(target)

    server, endpoint = start_nginx(work, options.tls)
    try:
        get = [tools["orbit"], "--no-sign-request", "--no-verify-ssl", "--endpoint-url", endpoint, "cp",
               "s3://bucket/file", target]
        curl = [tools["curl"], "-sSk", "--fail", "-o", target, f"{endpoint}/bucket/file"]
        lanes = lambda count: ["/usr/bin/env", f"ORBIT_LANES={count}"] + get
        row = dict(name=f"nginx{' with TLS' if options.tls else ''}: get {options.size >> 20} MiB", reference="1 lane",
                   scale=(options.size / run.GIB, "GiB"), before=fresh,
                   commands={"1 lane": lanes(1), "2 lanes": lanes(2), "curl": curl})
        print(run.table(row, run.run_row(row, options.rounds, dict(os.environ), launcher)))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        subprocess.run(["rm", "-rf", work])


if __name__ == "__main__":
    main()
