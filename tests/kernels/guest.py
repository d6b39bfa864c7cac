#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""guest.py KERNEL INITRD SECONDS CONSOLE RESULT [WORD...] - runs one guest in QEMU by software emulation.

The first serial line goes to CONSOLE, the second to RESULT; WORDs are appended to the kernel's command line. Exit
status 124 when SECONDS are over (the guest is ended), else QEMU's.
Prints what it took of the CPU. It must not know what the guest does.
"""
import resource
import signal
import subprocess
import sys

# Figures of a small machine on purpose; nokaslr, mitigations and the like only cost time under emulation.
APPEND = (
    "console=ttyS0 quiet panic=-1 oops=panic nokaslr mitigations=off random.trust_cpu=on tsc=reliable no_timer_check"
    " cryptomgr.notests audit=0"
)


def main(kernel, initrd, seconds, console, result, *words):
    # QEMU 7.2 leaves random flags behind an interrupted cmpxchg16b; 6.12's allocator then goes astray (oopses at
    # boot and later, with EFLAGS that no CPU has).
    qemu = ["qemu-system-x86_64", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-la57,-cx16", "-smp", "1"]
    qemu += ["-m", "768", "-nodefaults", "-net", "none", "-display", "none", "-monitor", "none", "-no-reboot"]
    qemu += ["-serial", "file:" + console, "-serial", "file:" + result, "-kernel", kernel, "-initrd", initrd]
    qemu += ["-append", " ".join([APPEND, *words])]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # not without the guest
    guest = subprocess.Popen(qemu, stdin=subprocess.DEVNULL)
    try:
        return guest.wait(timeout=float(seconds))
    except subprocess.TimeoutExpired:
        return 124
    finally:
        guest.kill()
        guest.wait()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{used.ru_utime + used.ru_stime:.0f} s of CPU")


sys.exit(main(*sys.argv[1:]))
