/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader_kernel.h - what the running kernel and our privilege allow, asked before anything is loaded.
 */
#ifndef SNOOP_LOADER_KERNEL_H
#define SNOOP_LOADER_KERNEL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct btf;

/* Capabilities, kernel version, lockdown, memory limit. 0, or -1 with e (EXIT_PRIVILEGE, remedy). */
int kernel_check(struct err *e);
/* The kernel's own type information; freed by btf__free. NULL with e. */
struct btf *kernel_btf(struct err *e);
/* Does the kernel hand cookies to uprobe programs (5.15+)? */
bool kernel_has_cookies(const struct btf *btf);
/* Does the kernel have this raw tracepoint? */
bool kernel_has_tracepoint(const struct btf *btf, const char *name);
/* Number of its arguments, 0: no such tracepoint. */
int kernel_tracepoint_args(const struct btf *btf, const char *name);
/*
 * The id of tracepoint SYSTEM/NAME ("syscalls", "sys_exit_read"; without a system NAME holds both), from tracefs where
 * it is mounted, else from an instance of its own that is visible to nobody and gone with its descriptor (5.2+,
 * CAP_SYS_ADMIN). -1 with e.
 */
int kernel_trace_id(const char *system, const char *name, struct err *e);
/* Can a task be preempted within a raw tracepoint's program (7.0+)? Then others on that CPU pass it unseen. */
bool kernel_preempts_tracepoints(void);
/* The same for programs at tracepoints of system calls, whatever their kind (7.1+). */
bool kernel_preempts_syscall_hooks(const struct btf *btf);
/* Length of the kernel's tick in microseconds (1000000 / CONFIG_HZ). */
unsigned kernel_tick_us(void);
/* perf's type number of uprobes, -1: none. */
int kernel_uprobe_type(void);
/*
 * Fills map ino_refs (bpf/lib/conn.bpf.h): which inode numbers sockets have from now on. Visits every CPU it may run on
 * and makes up to a thousand sockets for a moment. Without it Unix connections count as older than the tool.
 */
void loader_note_inodes(int map_fd);

#endif
