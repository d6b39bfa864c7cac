/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * conntrack-reuse.bpf.c - what conntrack-reuse observes: turns of direction on stream sockets, how connections begin
 * and end, and, only when a protocol is to be decoded, the bytes of sockets and TLS libraries.
 *
 * Everything is in lib/; this file only says which parts belong to the tool.
 */
#include "syscalls.bpf.h"
#include "uring.bpf.h"
#include "proc.bpf.h"
#include "mmap.bpf.h"
#include "tls.bpf.h"
#include "cipher.bpf.h"
#include "keylog.bpf.h"
#include "turns.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
