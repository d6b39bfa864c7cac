#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""report.py ROWS ROUNDS SECONDS - the bench's figures as Markdown: medians over rounds of ratios within a round."""
import os
import statistics
import sys

WHAT = {
    "empty": "httpsnoop's probes, nothing copied",
    "text": "httpsnoop, text",
    "json": "httpsnoop, JSON",
    "records": "sslsniff, text, every byte",
    "calls-empty": "--via calls, nothing copied",
    "calls": "--via calls, text",
    "calls-entry": "the same at functions' entry and return, as without emulated sites",
    "reuse": "conntrack-reuse, text",
    "bpftrace": "bpftrace, 200 bytes per call",
    "sslsniff": "bcc sslsniff",
    "strace": "strace, network calls",
    "tcpdump": "tcpdump (packets; ciphertext for TLS)",
}

rows = [line.rstrip("\n").split("\t") for line in open(sys.argv[1])]
base, runs, cases = {}, {}, []
for rnd, case, mode, rate, cpu, rss, lost in rows:
    if case not in cases:
        cases.append(case)
    if mode == "untraced":
        base[case, rnd] = float(rate)
    else:
        runs.setdefault((case, mode), []).append((rnd, rate, cpu, rss, lost))

print("# What looking costs\n")
print(f"Written by `make bench`: nginx with one worker on core 0, `wrk -c16` on core 1, kept-alive connections where nothing else is said, "
      f"{sys.argv[2]} interleaved rounds of {sys.argv[3]} s, kernel {'.'.join(os.uname().release.split('.')[:2])}, "
      f"{os.cpu_count()} cores.\n"
      "Kept: requests per second divided by the untraced rate of the same round (median, lowest and highest in brackets); "
      "differences of a few percent are noise.\n"
      "CPU: of the tool's own processes, in percent of one core. RSS: peak, summed over them (shared pages counted twice). "
      "Lost: events or packets, summed over rounds.\n"
      "The load generator has its own copy of libssl: probes on the library hit the server only.")
for case in cases:
    scheme, size, *new = case.split("-")
    rates = [base[k] for k in base if k[0] == case]
    print(f"\n## {'TLS' if scheme == 'https' else 'Plain'}, {size.upper()}B answers{', a new connection for each' if new else ''}: "
          f"{statistics.median(rates):,.0f} requests/s untraced\n")
    print("| | kept | tool CPU | RSS | lost |\n|---|---|---|---|---|")
    for mode in WHAT:
        got = runs.get((case, mode))
        if not got:
            continue
        ok = [g for g in got if g[1] not in ("-", "")]
        if not ok:
            print(f"| {WHAT[mode]} | {got[0][4] or '-'} | | | |")
            continue
        kept = [100 * float(g[1]) / base[case, g[0]] for g in ok]
        cpu = statistics.median(float(g[2]) for g in ok)
        rss = max(int(g[3]) for g in ok) / 1024
        lost = sum(int(g[4]) for g in ok) if all(g[4].isdigit() for g in ok) else "-"
        print(f"| {WHAT[mode]} | {statistics.median(kept):.0f} % ({min(kept):.0f} to {max(kept):.0f}) | "
              f"{cpu:.1f} % | {rss:.0f} MB | {lost} |")
