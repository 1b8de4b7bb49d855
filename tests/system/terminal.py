#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command on a terminal of its own, as a person would: terminal.py FILE COMMAND…

Types the secret, which FILE holds, at every question that ends in "password: ". What the command prints comes to standard output. While it
runs, looks where the secret must not be: command lines and environments of all its processes. Ends with the command's exit
code, or with 99 when the secret was seen."""
import os
import pty
import select
import sys


def processes(root):
    """The process and its descendants."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                    todo += [int(word) for word in children.read().split()]
        except OSError:
            pass
    return found


def shows(pid, secret):
    """Whether anybody may read it of the process; and of how many files that was looked for."""
    looked = 0
    for name in ("cmdline", "environ"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                text = file.read()
        except OSError:
            continue
        looked += bool(text)
        if secret in text:
            print(f"terminal.py: the secret is in {name} of {pid}: {text[:200]!r}", file=sys.stderr)
            return True, looked
    return False, looked


def main():
    with open(sys.argv[1], "rb") as file:
        secret = file.read().strip()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    seen, looked, asked, said = False, 0, 0, b""
    while True:
        if select.select([terminal], [], [], 0.01)[0]:
            try:
                got = os.read(terminal, 4096)
            except OSError:  # the terminal is closed
                break
            if not got:
                break
            os.write(1, got)
            said += got
            if said.endswith(b"password: "):
                os.write(terminal, secret + b"\n")
                asked += 1
                said = b""
        for child in processes(pid):
            shown, files = shows(child, secret)
            seen, looked = seen or shown, looked + files
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(f"asked {asked} times, looked at {looked} files", file=sys.stderr)
    sys.exit(99 if seen or not looked else code)


main()
