#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""vmlinux.py BZIMAGE VMLINUX - the ELF kernel out of a bzImage, for QEMU's direct (PVH) boot, which decompresses nothing.

The boot protocol's header (Documentation/arch/x86/boot.rst) gives the payload's place: setup_sects at 0x1f1,
payload_offset at 0x248, payload_length at 0x24c. The kernel's build appends the unpacked size (4 bytes) to it.
"""
import struct
import subprocess
import sys

MAGIC = {b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4", b"\xfd7zX": "xz", b"\x1f\x8b\x08\x00": "gzip"}


def main(src, dst):
    image = open(src, "rb").read()
    start = ((image[0x1F1] or 4) + 1) * 512 + struct.unpack_from("<I", image, 0x248)[0]
    payload = image[start : start + struct.unpack_from("<I", image, 0x24C)[0]]
    tool = MAGIC.get(payload[:4])
    if not tool:
        sys.exit(f"{src}: unknown compression {payload[:4].hex()}")
    # gzip holds the size itself.
    packed = payload if tool == "gzip" else payload[:-4]
    elf = subprocess.run([tool, "-dc"], input=packed, stdout=subprocess.PIPE, check=True).stdout
    if elf[:4] != b"\x7fELF":
        sys.exit(f"{src}: no ELF file inside")
    with open(dst, "wb") as f:
        f.write(elf)


main(*sys.argv[1:3])
