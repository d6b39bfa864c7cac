/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader.h - a BPF object into the kernel: privilege and feature checks, probe ladder, maps, attach (broker side).
 *
 * It must not know protocols or what the programs do beyond their names and hooks.
 */
#ifndef SNOOP_LOADER_H
#define SNOOP_LOADER_H

#include <linux/types.h>
#include <stdbool.h>

#include "base/err.h"
#include "event.h"
#include "tls/plan.h"

struct loader;

struct loader_cfg {
	const void *elf;
	unsigned long elf_size;
	struct bpf_cfg bpf;       /* filters and limits; copied into .rodata.cfg */
	unsigned long ring_bytes; /* rounded up to a power of two of pages */
	int cgroup_fd;            /* for FILTER_CGROUP, else -1 */
	const char *rung;         /* force this rung by name, NULL: best first */
	bool no_payload;          /* nothing is copied: leave out what only does that */
	int verbose;
};

/* Checks privilege and kernel (EXIT_PRIVILEGE with the remedy), opens, loads on the best rung that loads. NULL with e.
 */
struct loader *loader_open(const struct loader_cfg *cfg, struct err *e);
#define LOADER_RUNGS 8 /* at most */
/* Names of the rungs that the object has programs for, best first; none when it has one way only. How many. */
unsigned loader_rung_list(const void *elf, unsigned long size, const char *name[LOADER_RUNGS]);
/* Attaches all programs but the uprobes, process hooks first. 0, or -1 with e. */
int loader_attach(struct loader *l, struct err *e);
/* Attaches what is too dear to be there always: what sees splice out of Unix sockets (PROC_UNIX) or TCP ones
 * (PROC_SPLICE). Once each; missing hooks are no error. */
void loader_attach_late(struct loader *l, __u32 what);
/* Names of the rungs in use, for --coverage and -v: "payload: sock_length". Owned by l. */
const char *loader_rungs(const struct loader *l);

/* Attaches programs at offsets of one file; all or none. For all processes (filtered in BPF), or, with a pid, where the
 * kernel can (uprobe_multi) in that process only. path may be /proc/self/fd/N: then it is the very file that is open.
 * A handle above 0 for loader_uprobes_detach, or 0 with e. */
unsigned loader_uprobes(struct loader *l, const char *path, const struct plan_site *site, unsigned n, __u32 pid,
                        struct err *e);
void loader_uprobes_detach(struct loader *l, unsigned handle);

/* The set of traced processes (FILTER_PID). 1: pid has ended; -1: there is no room. */
int loader_target_add(struct loader *l, __u32 pid);
/* Is the process one of the set? */
bool loader_target_has(struct loader *l, __u32 pid);
/* How many are alive; the kernel removes them as they exit. */
int loader_target_count(struct loader *l);

/* Sockets older than the tool (map olds, by socket cookie), and who listens (map listeners, by netns << 16 | port).
 * False: the object has no such map, or it is full. */
bool loader_put_old(struct loader *l, __u64 cookie, const struct win_old *o);
/* The addresses of a user stack (map stacks), innermost first. How many, 0: it is gone. */
unsigned loader_stack(struct loader *l, __u32 id, __u64 ip[STACK_DEPTH]);
bool loader_put_listener(struct loader *l, __u64 key, const struct win_old *o);

/* Sums what all CPUs have counted. False: the object counts nothing. */
bool loader_win_hist(struct loader *l, struct win_hist *out);

/* What the worker shares with the kernel; made before the fork, valid in both processes. */
struct loader_shared {
	int data_ring_fd, small_ring_fd, proc_ring_fd; /* ring buffer maps */
	int secrets_ring_fd;                           /* -1: the object has none */
	struct ctl_slot *ctl;                          /* CTL_SLOTS */
	const struct bpf_stats *stats;                 /* STAT_CPUS, read-only */
	const void *own; /* the array `shared` of the object, read-only; NULL: it has none */
	unsigned long own_bytes;
};
int loader_shared(struct loader *l, struct loader_shared *out, struct err *e);

/* In the worker after fork: closes every BPF descriptor but the data and small rings'; keeps the mappings. Afterwards
 * only the mappings and those two descriptors of loader_shared are valid, and only loader_close may be called. */
void loader_forget(struct loader *l);
/* In the broker after the fork: the worker alone reads the array `shared`. */
void loader_leave_own(struct loader *l);
/* Lets the programs work: after everything was attached. Until then they return at once. */
void loader_on(struct loader *l, enum bpf_on how);
/* Stops them all at once, before the slower detaching. */
void loader_off(struct loader *l);
/* Calls fn for each connection that has lost bytes. */
void loader_losses(struct loader *l, void (*fn)(void *ctx, __u64 conn_id, const struct conn_loss *loss), void *ctx);
/* How often the kernel left a program out because it was already running on that CPU (5.12+; older: 0): events that
 * nobody saw. Before loader_detach. */
__u64 loader_missed(const struct loader *l);
/* Detaches every program, uprobes too (their handles end); maps and counters stay readable. */
void loader_detach(struct loader *l);
/* Detaches and unloads everything. */
void loader_close(struct loader *l);

#endif
