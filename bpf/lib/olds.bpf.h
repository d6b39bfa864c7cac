/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * olds.bpf.h - sockets older than the tool that traced processes have: whose they are, and stalls that were open
 * already.
 *
 * Filled by the broker (core/windows, core/olds); it must not know who looks there.
 */
#ifndef SNOOP_OLDS_BPF_H
#define SNOOP_OLDS_BPF_H

#include "kernel.bpf.h"
#include "event.h"

/* By socket cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct win_old);
} olds SEC(".maps");

#endif
