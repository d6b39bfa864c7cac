/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * broker.h - state of the privileged half, shared by broker.c and watch.c only.
 */
#ifndef SNOOP_BROKER_H
#define SNOOP_BROKER_H

#include <signal.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "core/run.h"

#define WATCH_MAX 4096

/* A traced process whose mappings are looked at again: libraries are mapped after exec, and later by dlopen. */
struct watch {
	uint32_t pid;
	double next_s, step_s;
};

struct broker {
	struct run *run;
	struct loader *loader;
	struct attacher *attacher;
	uint32_t filters;  /* enum filter_bits in use */
	bool by_pid;       /* FILTER_PID: the kernel keeps a set of processes */
	bool selective;    /* by name, user or cgroup: matching processes may come and go */
	uint32_t present;  /* matching processes found, at start or since */
	char cgroup[4096]; /* of --container */
	pid_t worker;
	int worker_status;
	struct rusage worker_usage;
	struct cmd cmd;
	bool cmd_ended;
	int cmd_status;
	int sigfd;
	sigset_t old_mask;
	bool stop;
	double started_s, tracing_s, grace_until;
	unsigned early_scans;
	double stop_by;  /* when to give up on a worker that does not end; 0: not stopping */
	uint32_t seq;    /* of the last question to the worker */
	uint64_t missed; /* hits that the kernel passed over while tracing (loader_missed) */
	struct watch watch[WATCH_MAX];
	size_t nwatch;
	struct unix_ends *unix_ends;
	struct olds *olds;       /* NULL: the tool does not ask for connections older than itself */
	struct nfct *nfct;       /* --nf; NULL: off */
	struct places *places;   /* NULL: nothing was asked yet */
	struct windows *windows; /* NULL: the tool is not about TCP windows */
};

/* Would a message to the worker be taken within so many milliseconds? */
bool can_send(int sock, int ms);

/* ---- olds.c: connections older than the tool; questions to connection tracking ---- */
/* NULL: out of memory. */
struct olds *olds_new(struct broker *b);
/* A process that is traced from the start. */
void olds_add(struct olds *o, uint32_t pid);
/* Lists their sockets to the worker. Once. */
void olds_tell(struct olds *o);
void olds_free(struct olds *o);
/* Answers a question of the worker. */
void ct_reply(struct broker *b, const struct ct_ask *q);

/* Looks at a process's files, and tells the worker what is new of it (fresh: all). As attacher_scan. */
int scan_process(struct broker *b, uint32_t pid, bool fresh);
double now_s(void);
/* Says with -v that so many files were hooked after their process had begun to run. */
void tell_late(uint32_t pid, int fresh);

/* Asks the worker for the function at s->off in the file open at fd. False: none, or no answer. */
bool broker_symbol(struct broker *b, int fd, struct ipc_symbol *s);

/* ---- places.c: where a library keeps a session's secrets ---- */
/* For the library of this process, which is mapped at *base; NULL: not known. wanted: it is to be learnt, which takes a
 * second or two. */
const struct offsets *places_of(struct broker *b, uint32_t pid, bool wanted, uint64_t *base);
void places_tick(struct places *p);
void places_free(struct places *p);

/* ---- stacks.c ---- */
/* Tells the worker in words what a stack of the process is (PROC_STACK). */
void stacks_tell(struct broker *b, uint32_t pid, uint32_t id);

/* ---- watch.c ---- */
void watch_add(struct broker *b, uint32_t pid);
void watch_del(struct broker *b, uint32_t pid);
/* Scans those whose time has come. */
void watch_tick(struct broker *b, double now);
/* Milliseconds until the next scan is due, at most a second. */
int watch_next_ms(const struct broker *b, double now);

/* ---- windows.c: sockets older than the tool, and how connections stand every so often ---- */
/* NULL: out of memory. */
struct windows *windows_new(struct broker *b);
/* A traced process is there, or was replaced by exec: its network namespace and descriptors belong to those looked at.
 */
void windows_add(struct windows *w, uint32_t pid);
void windows_del(struct windows *w, uint32_t pid);
/* Between ON_SEEDING and ON: lists what is there, to the kernel programs and to the worker. */
void windows_seed(struct windows *w);
/* Lists again when --interval is over. */
void windows_tick(struct windows *w, double now);
/* Milliseconds until then, at most a second. */
int windows_next_ms(const struct windows *w, double now);
/* The run ends: tells what the kernel counted. */
void windows_finish(struct windows *w);
void windows_free(struct windows *w);

#endif
