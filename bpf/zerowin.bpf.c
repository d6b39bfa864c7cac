/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * zerowin.bpf.c - what zerowin observes: windows of TCP connections, who reads from them, and the life of processes.
 *
 * Everything is in lib/; this file only says which parts belong to the tool.
 */
#include "proc.bpf.h"
#include "reader.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
