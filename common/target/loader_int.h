/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader_int.h - what loader.c and loader_attach.c share. Nothing else includes it.
 */
#ifndef SNOOP_LOADER_INT_H
#define SNOOP_LOADER_INT_H

#include <stdbool.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "target/loader.h"

enum hook_at { AT_RAW, AT_SYSCALL };

/* A program and its hook. group NULL: always wanted; else one of the rungs of the payload ladder. */
struct hook {
	const char *prog;
	enum hook_at at;
	const char *name; /* tracepoint */
	const char *rung;
	bool optional; /* the rung stands without it */
};

/* Ends with prog NULL. */
extern const struct hook loader_hooks[];

/* An attached program. pfd: the perf event behind it, -1 none. */
struct probe {
	struct probe *next;
	struct loader *owner;
	struct bpf_link *link;
	int pfd;
};

struct loader {
	struct loader_cfg cfg;
	struct bpf_object *obj;
	struct probe *probes;
	struct ctl_slot *ctl;
	struct bpf_stats *stats;
	const char *rung;
	char rungs[256];
	bool sees_mmap;
	bool direct_reads;
};

/* Is the hook wanted on this rung? */
static inline bool loader_hook_in_rung(const struct hook *h, const char *rung)
{
	return !h->rung || !strcmp(h->rung, rung);
}

#endif
