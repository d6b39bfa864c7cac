#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""compare.py TOOL CAPTURE... - do the tool and tshark (two passes) see the same exchanges?

Per stream, in order: method, host, path, status. What differs must be listed in CAPTURE's NAME.diff, one line each:

    - or + exchange  # reason

'-' is an exchange that only tshark has, '+' one that only the tool has; the reason names the RFC. An unlisted
difference and an unused listing are failures. tshark is given NAME.keys, too, when it is there. `compare.py --print
TOOL CAPTURE` prints the differences instead.
"""
import json
import os
import re
import subprocess
import sys


def line(key, fields):
    return " ".join([key] + [str(f) if f not in (None, "") else "-" for f in fields])


def stream_keys(streams):
    """(ends, number) -> lines; the second use of a pair of ends is marked #2, and so on."""
    out, uses = [], {}
    for number in sorted(streams):
        ends, exchanges = streams[number]
        uses[ends] = uses.get(ends, 0) + 1
        key = ends + ("#%d" % uses[ends] if uses[ends] > 1 else "")
        out += [line(key, e) for e in exchanges]
    return out


def ours(tool, capture):
    run = subprocess.run([tool, "-r", capture, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    if run.returncode:
        sys.exit("%s -r %s: exit %d: %s" % (tool, capture, run.returncode, run.stderr.decode(errors="replace")))
    streams = {}
    for r in map(json.loads, run.stdout.splitlines()):
        ends = "%s>%s" % (r["local"], r["remote"])
        entry = streams.setdefault(r["conn"], (ends, []))
        entry[1].append([r.get(k) for k in ("method", "host", "path", "status")])
    return stream_keys(streams)


def find(pairs, key):
    """First value of key in tshark's JSON, objects being lists of pairs (its keys repeat)."""
    for k, v in pairs if isinstance(pairs, list) else []:
        if k == key and not isinstance(v, list):
            return v
        got = find(v, key)
        if got is not None:
            return got
    return None


def end(layers, what):
    address = find(layers, "ipv6." + what) or find(layers, "ip." + what)
    port = find(layers, "tcp." + what + "port")
    return ("[%s]:%s" if ":" in address else "%s:%s") % (address, port)


def theirs(capture):
    args = ["tshark", "-2", "-n", "-r", capture, "-T", "json", "-J", "ip ipv6 tcp http", "-Y", "http"]
    keys = re.sub(r"\.pcap(ng)?$", ".keys", capture)
    if os.path.exists(keys):
        args += ["-o", "tls.keylog_file:" + keys]
    args += ["-o", "tcp.reassemble_out_of_order:TRUE", "-o", "tcp.desegment_tcp_streams:TRUE"]
    run = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    if run.returncode:
        sys.exit("tshark: exit %d: %s" % (run.returncode, run.stderr.decode(errors="replace")))
    streams = {}
    for packet in json.loads(run.stdout or "[]", object_pairs_hook=list):
        layers = find_layers(packet)
        number = int(find(layers, "tcp.stream"))
        src, dst = end(layers, "src"), end(layers, "dst")
        for http in (v for k, v in layers if k == "http"):
            entry = streams.setdefault(number, {"ends": None, "req": [], "resp": []})
            method, code = find(http, "http.request.method"), find(http, "http.response.code")
            if method:
                entry["ends"] = "%s>%s" % (src, dst)
                entry["req"].append([method, find(http, "http.host"), find(http, "http.request.uri")])
            elif code and (code[0] != "1" or code == "101"):
                entry["ends"] = entry["ends"] or "%s>%s" % (dst, src)
                entry["resp"].append(code)
    paired = {}
    for number, s in streams.items():
        if not s["ends"]:
            continue
        n = max(len(s["req"]), len(s["resp"]))
        req = s["req"] + [[None] * 3] * (n - len(s["req"]))
        resp = s["resp"] + [None] * (n - len(s["resp"]))
        paired[number] = (s["ends"], [a + [b] for a, b in zip(req, resp)])
    return stream_keys(paired)


def find_layers(packet):
    source = dict(packet)["_source"]
    return dict(source)["layers"]


def split(mine, other):
    """What only mine has, and what both have, each in order and as often as it is there."""
    rest, only, both = list(other), [], []
    for x in mine:
        if x in rest:
            rest.remove(x)
            both.append(x)
        else:
            only.append(x)
    return only, both


def differences(tool, capture):
    a, b = theirs(capture), ours(tool, capture)
    only_a, both_a = split(a, b)
    only_b, both_b = split(b, a)
    order = both_a == both_b
    return ["- " + x for x in only_a] + ["+ " + x for x in only_b], order


def listed(capture):
    path = re.sub(r"\.pcap(ng)?$", ".diff", capture)
    if not os.path.exists(path):
        return []
    out = []
    for text in open(path):
        entry, mark, reason = text.rstrip("\n").partition("  # ")
        if not mark or "RFC" not in reason:
            sys.exit("%s: a line without a reason that names the RFC: %s" % (path, text.strip()))
        out.append(entry)
    return out


def main():
    args = sys.argv[1:]
    show = args[0] == "--print"
    args = args[1:] if show else args
    bad = 0
    for capture in args[1:]:
        found, order = differences(args[0], capture)
        if show:
            print("\n".join(found))
            continue
        want = listed(capture)
        name = os.path.basename(capture)
        for x in sorted(set(found) | set(want)):
            if found.count(x) > want.count(x):
                print("%s: unlisted difference: %s" % (name, x))
            elif found.count(x) < want.count(x):
                print("%s: unused listing: %s" % (name, x))
            bad += found.count(x) != want.count(x)
        if not order:
            print("%s: the common exchanges come in another order" % name)
            bad += 1
    return bad != 0


sys.exit(main())
