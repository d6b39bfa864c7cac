#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""find_bytes.py TEXT PID... - where TEXT stands in what the tool's processes hold: mapped memory (with the rings) and
the contents of their BPF maps. TEXT hex:DIGITS stands for those bytes. Prints one line per place; nothing when it is nowhere. Only for own processes.
"""
import json
import os
import re
import subprocess
import sys

text, pids = sys.argv[1].encode(), sys.argv[2:]
if text.startswith(b"hex:"):
    text = bytes.fromhex(sys.argv[1][4:])


def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            f = line.split(None, 5)
            name = f[5].strip() if len(f) > 5 else "anonymous"
            if "r" not in f[1] or name in ("[vvar]", "[vsyscall]", "[vvar_vclock]"):
                continue
            lo, hi = (int(x, 16) for x in f[0].split("-"))
            try:
                mem.seek(lo)
                data = mem.read(hi - lo)
            except OSError:
                continue
            if text in data:
                print(f"pid {pid}: memory {name}: {data.count(text)} times")


def map_ids(pid):
    ids = set()
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            with open(f"/proc/{pid}/fdinfo/{fd}") as info:
                ids.update(re.findall(r"^map_id:\s*(\d+)", info.read(), re.M))
        except OSError:
            pass
    return ids


def strings_of(value):
    """bpftool prints bytes as lists of "0x.." strings, at any depth."""
    if isinstance(value, list):
        if value and all(isinstance(x, str) and x.startswith("0x") for x in value):
            yield bytes(int(x, 16) & 255 for x in value)
        else:
            for x in value:
                yield from strings_of(x)
    elif isinstance(value, dict):
        for x in value.values():
            yield from strings_of(x)


def bpf_maps(pid):
    for i in sorted(map_ids(pid), key=int):
        r = subprocess.run(["bpftool", "-j", "map", "dump", "id", i], capture_output=True)
        try:
            dump = json.loads(r.stdout)
        except ValueError:
            continue
        if any(text in s for s in strings_of(dump)):
            print(f"pid {pid}: BPF map {i}")


for p in pids:
    memory(p)
    bpf_maps(p)
