#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""orphans.py - BPF programs, maps and links in the kernel that no process holds a descriptor of: "kind id name" lines.

What a killed tool could leave behind. Objects of running processes, whoever's, are not listed.
"""
import glob
import json
import re
import subprocess

held = set()
for path in glob.glob("/proc/[0-9]*/fdinfo/*"):
    try:
        with open(path) as f:
            held.update(re.findall(r"^(prog|map|link)_id:\s*(\d+)", f.read(), re.M))
    except OSError:
        pass
for kind in ("prog", "map", "link"):
    out = subprocess.run(["bpftool", "-j", kind, "show"], capture_output=True).stdout
    for obj in json.loads(out or "[]"):
        if (kind, str(obj["id"])) not in held:
            print(kind, obj["id"], obj.get("name", obj.get("type", "")))
