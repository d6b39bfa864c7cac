/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach.h - which files are hooked, and how: from a process's maps to attached probes (broker side).
 *
 * Files are identified by fstat of what was opened (decision 9), each is resolved once and its probes are attached
 * per file, for all processes; BPF filters. It does not parse ELF itself: a resolver (in the worker) does.
 */
#ifndef SNOOP_ATTACH_H
#define SNOOP_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/plan.h"

struct loader;
struct attacher;

struct attacher_cfg {
	struct loader *loader;
	/* What is attached: probes where a library hands out its keys, or at its read and write functions. Both: the
	 * latter only in files where the former is not found. */
	bool keys, calls;
	/* Resolves the ELF file open at fd (path: for messages). 0, or -1 with e. */
	int (*resolve)(void *ctx, int fd, const char *path, struct plan *out, struct err *e);
	void *ctx;
};

/* NULL when out of memory. Raises this process's soft limit of open files: call it after cmd_hold, so that CMD runs
 * with the limit it would have had. */
struct attacher *attacher_new(const struct attacher_cfg *cfg);
/* Looks at the executable mappings of pid and attaches what is new; where its C library lies, also the TLS libraries
 * that it may load later (tls_lib.sonames). Returns how many files were newly attached; -1 when pid is gone. */
int attacher_scan(struct attacher *a, uint32_t pid);
/* pid has TLS sessions on memory: attaches what finds their sockets, in that process where the kernel can. How many
 * files. */
int attacher_late(struct attacher *a, uint32_t pid);
/* How often a mapped TLS file was left out because there are too many of them. */
uint32_t attacher_unhooked(const struct attacher *a);
/* What TLS libraries a process has mapped, as far as it was scanned. */
struct attacher_tls {
	uint8_t lib; /* enum tls_lib_id; 0: none, or several */
	bool any;    /* there are some */
	bool keys;   /* a key-log probe is attached in one */
};
/* True when something is another than at the last call. */
bool attacher_lib(struct attacher *a, uint32_t pid, struct attacher_tls *out);
/* The OpenSSL that a process has mapped as a shared library. */
struct attacher_ssl {
	int fd_ssl, fd_crypto; /* open, the caller's; fd_crypto -1: not found */
	uint64_t base;
	uint8_t nid, build_id[32];
};
/* False: it has none, several, or one without a build id. */
bool attacher_ssl(struct attacher *a, uint32_t pid, struct attacher_ssl *out);
/* The process ended: what is remembered of it is dropped and what is attached in it alone; the files
 * stay hooked. Needed only to save memory and descriptors. */
void attacher_forget(struct attacher *a, uint32_t pid);
/* `-- CMD`: the executable (through #! lines), its DT_NEEDED closure, and the TLS libraries that it may load later,
 * before it runs. Returns files newly attached. */
int attacher_prepare(struct attacher *a, const char *exe);
/* One line per (process, TLS library or reason) for --coverage. */
struct coverage {
	uint32_t pid;
	char comm[16];
	char file[256];
	const char *lib; /* "openssl", or NULL */
	char how[400];   /* "SSL_read+SSL_read_ex via ssl_read_internal, entry and return", or what is not and why */
	bool covered;
	bool keys, calls; /* what is attached to file */
	bool none;        /* there is no TLS library */
};
void attacher_coverage(struct attacher *a, uint32_t pid, void (*fn)(void *ctx, const struct coverage *c), void *ctx);
/* Detaches everything. */
void attacher_free(struct attacher *a);

#endif
