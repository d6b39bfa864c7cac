#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""loss.py TOOL SEED... - captures that lost packets: nothing may be paired wrongly, nothing may be invented.

Each request carries a token, which its response repeats. Packets are dropped, doubled and moved; a record that has both
a request and a response must have the same token in both (or, where packets were also moved between the directions,
say that it is assumed), and no request or response may appear twice. Without loss every exchange must be there.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

import make


def conversation(cap, rnd, n, whole):
    """One connection of up to 20 exchanges, some of them pipelined. Returns its tokens."""
    isn = rnd.randrange(2**32), rnd.randrange(2**32)
    t = make.Tcp(cap, ("10.0.0.9", 20000 + n), isn=isn, mss=rnd.choice([60, 500, 1400]))
    if whole or rnd.random() < 0.9:
        t.open()
    depth = rnd.choice([1, 1, 1, 3])
    tokens = []
    for i in range(0, rnd.randrange(1, 20), depth):
        batch = ["%d-%d" % (n, i + k) for k in range(depth)]
        tokens += batch
        asks = [make.req(path="/" + x, body=b"q" * rnd.choice([0, 0, 100])) for x in batch]
        t.c(b"".join(asks), rnd.choice([1, 1, 150]))
        for x in batch:
            body, token = make.text(rnd.choice([0, 5, 700, 3000])), "X-Token: " + x
            if rnd.random() < 0.3:
                head = make.resp(headers=[token, "Transfer-Encoding: chunked"], length=False)
                t.s(head + make.chunked(body or b"."))
            else:
                t.s(make.resp(headers=[token], body=body))
    t.close()
    return tokens


def mangle(cap, rnd, drop, shuffled):
    """Loses, doubles and moves packets; with losses only among those of the same direction, unless shuffled."""
    packets, again = [], []
    for i, (_, p) in enumerate(cap.packets):
        if rnd.random() >= drop:
            packets.append((i + (rnd.uniform(0, 3) if rnd.random() < 0.1 else 0), i, p))
        if rnd.random() < 0.03:
            again.append((i + rnd.uniform(1, 30), p))
    if drop and not shuffled:
        ways = {}
        for key, _, p in sorted(packets):
            ways.setdefault(p[12:24], []).append(p)
        packets = [(i, i, ways[p[12:24]].pop(0)) for _, i, p in packets]
    packets = sorted([(key, p) for key, _, p in packets] + again, key=lambda x: x[0])
    cap.packets = [(make.START + int(i * make.MS), p) for i, p in packets]


def run(tool, seed, drop, shuffled):
    rnd = random.Random(seed)
    cap = make.Capture()
    tokens = [x for n in range(8) for x in conversation(cap, rnd, n, not drop)]
    mangle(cap, rnd, drop, shuffled)
    with tempfile.NamedTemporaryFile(suffix=".pcap") as f:
        f.write(make.pcap(cap, make.ETHERNET))
        f.flush()
        out = subprocess.run([tool, "-r", f.name, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    if out.returncode:
        return ["exit %d: %s" % (out.returncode, out.stderr.decode(errors="replace"))], 0
    bad, asked, answered, pairs = [], set(), set(), 0
    for r in map(json.loads, out.stdout.splitlines()):
        token = r["path"][1:] if "path" in r else None
        answer = r.get("resp_headers", {}).get("X-Token")
        if token is not None and answer is not None:
            pairs += 1
            # Where nothing is left that tells what answers what, the record must say so.
            if token != answer and not (shuffled and "pairing assumed" in r.get("note", "")):
                bad.append("paired wrongly: %s with the response of %s" % (token, answer))
        for x, seen in ((token, asked), (answer, answered)):
            if x is not None and (x in seen or x not in tokens):
                bad.append("twice or invented: %s" % x)
            seen.add(x)
    if not drop and (asked != set(tokens) or answered != set(tokens) or pairs != len(tokens)):
        bad.append("%d of %d exchanges although nothing was lost" % (pairs, len(tokens)))
    return bad, pairs


def main():
    failed = total = 0
    for seed in sys.argv[2:]:
        for drop, shuffled in ((0, False), (0.01, False), (0.1, False), (0.01, True), (0.1, True)):
            bad, pairs = run(sys.argv[1], int(seed), drop, shuffled)
            total += pairs
            for x in bad[:5]:
                print("seed %s, loss %g%s: %s" % (seed, drop, ", shuffled" if shuffled else "", x))
            failed += bool(bad)
    print("%d exchanges, %d runs wrong" % (total, failed))
    return failed != 0


sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.exit(main())
