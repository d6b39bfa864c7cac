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

/* A program and its hook, for the objects that have the program. rung NULL: wanted on every rung; else one of the rungs
 * of the payload ladder. */
struct hook {
	const char *prog;
	enum hook_at at;
	const char *name; /* tracepoint */
	const char *rung;
	bool optional; /* the rung stands without it */
	__u32 late; /* enum ev_proc_what after which it is attached, for it costs all others; 0: from the beginning */
	const char *rec_prog,
	    *rec_name; /* the same by the tracepoint's record ("sock/NAME"), for struct loader.records */
	bool windows;  /* only where windows are asked for (bpf_cfg.win_kinds, tcp_stats) */
	bool bare;     /* wanted also by a run without payload (loader_cfg.no_payload) */
};

/* Ends with prog NULL. */
extern const struct hook loader_hooks[];

/* An attached program. link NULL: a link that libbpf does not know. */
struct probe {
	struct probe *next;
	struct bpf_link *link;
	int pfd;        /* the perf event behind link, -1 none; without link the link's own descriptor */
	unsigned group; /* uprobes attached together, 0 none */
};

struct loader {
	struct loader_cfg cfg;
	struct bpf_object *obj;
	struct probe *probes;
	struct ctl_slot *ctl;
	struct bpf_stats *stats;
	__u64 *target_slots;
	void *own; /* map `shared` of the object, NULL none */
	size_t own_bytes;
	const char *rung;
	char rungs[256];
	bool sees_mmap, sees_accept;
	__u32 late_done; /* bit 1 << enum ev_proc_what */
	bool direct_reads;
	bool multi;   /* uprobes are attached by uprobe_multi */
	bool records; /* raw tracepoints would leave hits out here: hooks that can are attached by their record */
	bool cookies; /* uprobes can be given attach cookies */
	unsigned groups;
};

/* The kernel's BPF_TRACE_UPROBE_MULTI (6.6+), which older headers lack. */
#define ATTACH_UPROBE_MULTI 48
/* A uprobe_multi link: program prog_fd at cnt offsets of a file, each with its cookie (NULL: none), in one process (pid
 * 0: in all). Its descriptor, or -1 with errno. */
int loader_link_multi(int prog_fd, const char *path, const __u64 *offsets, const __u64 *cookies, __u32 cnt, bool ret,
                      __u32 pid);
/* Does this kernel have uprobe_multi? */
bool loader_has_multi(void);

/* The program that serves the hook here. */
static inline const char *loader_hook_prog(const struct loader *l, const struct hook *h)
{
	return l->records && h->rec_prog ? h->rec_prog : h->prog;
}

/* Is the hook wanted on this rung? */
static inline bool loader_hook_in_rung(const struct hook *h, const char *rung)
{
	return !h->rung || !strcmp(h->rung, rung);
}

#endif
