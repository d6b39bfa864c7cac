#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""spoil.py TOOL PROGRAM OUT - a copy of TOOL in whose embedded BPF object PROGRAM is refused by every verifier.

The object is an ELF file inside the tool's own .rodata; the program's first instruction gets an opcode that no kernel
knows. It is for the self-test of the kernel matrix.
"""
import struct
import sys

EM_BPF, SHT_SYMTAB = 247, 2


def sections(data, base):
    shoff = struct.unpack_from("<Q", data, base + 0x28)[0]
    size, count = struct.unpack_from("<HH", data, base + 0x3A)
    for i in range(count):
        yield struct.unpack_from("<IIQQQQIIQQ", data, base + shoff + i * size)


def main(tool, program, out):
    data = bytearray(open(tool, "rb").read())
    base = data.find(b"\x7fELF", 1)
    while base > 0 and struct.unpack_from("<H", data, base + 18)[0] != EM_BPF:
        base = data.find(b"\x7fELF", base + 1)
    if base < 0:
        sys.exit(f"{tool}: no BPF object inside")
    all_sections = list(sections(data, base))
    for section in all_sections:
        if section[1] != SHT_SYMTAB:
            continue
        names = base + all_sections[section[6]][4]
        for at in range(base + section[4], base + section[4] + section[5], 24):
            name, _, _, index, value, _ = struct.unpack_from("<IBBHQQ", data, at)
            end = data.index(b"\0", names + name)
            if data[names + name : end] == program.encode():
                data[base + all_sections[index][4] + value] = 0xFF
                with open(out, "wb") as f:
                    f.write(data)
                return 0
    return f"{tool}: no program {program}"


sys.exit(main(*sys.argv[1:4]))
