#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tls_said.py NAME < RECORDS - are these the exchanges of tlscorpus' capture NAME, to the byte?

Answer i has i * i * 700 bytes of a fixed pattern. Only in "13_lossy" may two answers have lost something, and then what
is there of them is right.
"""
import json
import sys

LOSSY = "13_lossy"


def body(n):
    return "".join(chr(ord("a") + i % 23) for i in range(n))


def main():
    name, bad = sys.argv[1], 0
    records = [json.loads(line) for line in sys.stdin]
    early = [r for r in records if r["path"].endswith("/early")]
    records = [r for r in records if not r["path"].endswith("/early")]
    if len(early) != ("early" in name) or len(records) != 7:
        print("%s: %d and %d exchanges" % (name, len(early), len(records)))
        return 1
    lost = 0
    for i, r in enumerate(records):
        want = {"path": "/%s/%d?q=1" % (name, i), "status": 404 if i % 3 == 2 else 200, "resp_bytes": i * i * 700,
                "host": "peer.example", "tls": "unknown", "req_bytes": 0}
        for key, value in want.items():
            if r.get(key) != value:
                print("%s %d: %s is %r, not %r" % (name, i, key, r.get(key), value))
                bad += 1
        if name == LOSSY and r.get("error") == "lost":
            lost += 1
        elif r.get("resp_body", "") != body(i * i * 700) or "error" in r or "note" in r:
            print("%s %d: body, error or note: %s" % (name, i, json.dumps(r)[:300]))
            bad += 1
    if name == LOSSY and lost != 2:
        print("%s: %d answers lost something" % (name, lost))
        bad += 1
    return bad != 0


sys.exit(main())
