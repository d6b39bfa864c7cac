/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * httpsnoop.bpf.c - what httpsnoop observes: bytes of stream sockets and of TLS libraries, what TCP does
 * for them (--tcp), and the life of processes.
 *
 * Everything is in lib/; this file only says which parts belong to the tool.
 */
#include "tcpstat.bpf.h"

#include "syscalls.bpf.h"
#include "uring.bpf.h"
#include "proc.bpf.h"
#include "mmap.bpf.h"
#include "cipher.bpf.h"
#include "keylog.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
