/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * tcpwin.bpf.c - what tcpwin observes: windows of TCP connections, and the life of processes.
 *
 * Everything is in lib/; this file only says which parts belong to the tool.
 */
#include "proc.bpf.h"
#include "window.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
