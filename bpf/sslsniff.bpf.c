/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * sslsniff.bpf.c - what sslsniff observes: TLS records on stream sockets, plaintext at calls of TLS libraries, and the
 * life of processes.
 *
 * Everything is in lib/; this file only says which parts belong to the tool.
 */
#include "syscalls.bpf.h"
#include "uring.bpf.h"
#include "proc.bpf.h"
#include "mmap.bpf.h"
#include "cipher.bpf.h"
#include "keylog.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
