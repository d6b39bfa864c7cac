/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * target.h - which processes are meant, and finding them in /proc. It must not know tools, BPF or records' sinks.
 */
#ifndef SNOOP_TARGET_H
#define SNOOP_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define TARGET_MAX_PIDS  256
#define TARGET_MAX_PORTS 16

/* Filled by the option table; conditions combine with AND. */
struct target_spec {
	uint32_t pids[TARGET_MAX_PIDS];
	size_t npids;
	bool no_children;
	const char *comm; /* leader's comm */
	bool has_uid;
	uint32_t uid;
	const char *cgroup;    /* path of a cgroup v2 directory, or relative to the cgroup2 mount */
	uint32_t netns_pid;    /* 0: none */
	const char *container; /* id or its prefix (12 or more hex digits), or a unique part of a cgroup name */
	uint16_t ports[TARGET_MAX_PORTS];
	size_t nports;
};

struct proc_info {
	uint32_t pid, ppid, uid;
	char comm[16];
	char container[65]; /* id found in /proc/PID/cgroup, "" none */
};

/* Reads /proc/PID; false when it is gone. */
bool proc_read(uint32_t pid, struct proc_info *out);
/* How many local ports connect() chooses from in this network namespace (ip_local_port_range); 0 unknown. */
uint32_t proc_ephemeral_ports(void);
/* Calls fn for each present process that the spec names (with descendants unless no_children), never for the tool's own
 * processes (self). Scans until a pass finds nothing new. Returns how many, -1 with e when a named pid does not exist
 * or cannot be looked at. Each pid is reported once. */
int target_scan(const struct target_spec *spec, uint32_t self, int (*fn)(void *ctx, const struct proc_info *p),
                void *ctx, struct err *e);
/* Inode number of a process's network namespace; 0 with e. */
uint32_t target_netns(uint32_t pid, struct err *e);
/* Opens the cgroup v2 directory (absolute, or relative to the cgroup2 mount); descriptor, or -1 with e. */
int target_cgroup_fd(const char *path, struct err *e);
/* The cgroup v2 directory of a container, by id, id prefix or a unique part of the directory's name
 * (target_spec.container). 0 with an absolute path in out; -1 with e, which lists the candidates when there are
 * several. */
int target_container_cgroup(const char *id, char *out, size_t n, struct err *e);
/* Where the cgroup2 hierarchy is mounted (a mount of all of it rather than of a part); false when it is not. */
bool cgroup_mount(char *out, size_t n);
/* The container id in one line of /proc/PID/cgroup ("0::/system.slice/docker-<64 hex>.scope"): the last run of exactly
 * 64 hex digits in the path, as docker, containerd, podman and cri-o write it. False when there is none. */
bool cgroup_container_id(const char *line, char out[65]);

/* ---- cmd.c: `-- CMD`, held before exec ---- */
struct cmd {
	pid_t pid;
	int go;           /* write end: a byte releases it, closing without a byte ends it */
	int fail;         /* read end: errno of a failed exec, or EOF on success */
	const char *name; /* argv[0], for messages; the caller's */
};
/* Forks; the child waits. Default signal handlers and mask are restored in it. */
int cmd_hold(char *const argv[], struct cmd *c, struct err *e);
/* Can argv[0] be run, as far as can be told before? 0, or -1 with e. */
int cmd_check(const char *name, struct err *e);
/* Lets it exec. Returns 0, or -1 with e: 127/126 style message, EXIT_RUNTIME. */
int cmd_release(struct cmd *c, struct err *e);
/* The executable that argv[0] will run, found like execvp; false when there is none. */
bool cmd_path(const char *name, char *out, size_t n);

#endif
