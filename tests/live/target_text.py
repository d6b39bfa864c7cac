#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""target_text.py PID NAME - are the executable pages of NAME mapped into PID the file's own bytes?

A uprobe is a breakpoint written into the process's copy of a page: with no probe left, memory and file agree.
Prints "clean", or the number of bytes that differ. Exits 2 when nothing of that name is mapped.
"""
import os
import sys

pid, name = sys.argv[1], sys.argv[2]
checked = differ = 0
with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
    for line in maps:
        f = line.split(None, 5)
        if len(f) < 6 or "x" not in f[1] or name not in os.path.basename(f[5]):
            continue
        lo, hi = (int(x, 16) for x in f[0].split("-"))
        mem.seek(lo)
        got = mem.read(hi - lo)
        with open(f"/proc/{pid}/map_files/{f[0]}", "rb") as file:
            file.seek(int(f[2], 16))
            want = file.read(hi - lo)
        checked += len(want)
        differ += sum(a != b for a, b in zip(got, want)) if got[:len(want)] != want else 0
if not checked:
    sys.exit(2)
print("clean" if differ == 0 else f"{differ} bytes differ")
