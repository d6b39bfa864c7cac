/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unixends.c - the ends of Unix connections. The kernel has no hook for them that would not slow every close of every
 * process; so those with a protocol for us are looked up in their network namespace's table of Unix sockets, twice a
 * second while there are any.
 *
 * It must not know what becomes of the connections.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/unixends.h"

#define MAX_CONNS  1024 /* more are not watched */
#define MAX_SPACES 8    /* network namespaces */
#define EACH_S     0.5
#define LINES_EACH 4096 /* longer tables are read more seldom */

struct conn {
	uint64_t id;
	uint32_t ino;
	int space;
	unsigned missed; /* times in a row that it was not in the table */
	bool found;
};

struct space {
	uint32_t netns; /* inode number; 0: free */
	FILE *table;    /* holds the namespace, too */
	unsigned conns;
};

struct unix_ends {
	struct conn conn[MAX_CONNS];
	size_t n;
	struct space space[MAX_SPACES];
	double next_s;
};

struct unix_ends *unix_ends_new(void)
{
	return calloc(1, sizeof(struct unix_ends));
}

/* The table of namespace netns, as process pid (0: this one) has it. NULL when that is in another namespace. */
static FILE *open_table(uint32_t pid, uint32_t netns)
{
	char path[48], who[16] = "self";
	struct stat st;

	if (pid)
		snprintf(who, sizeof(who), "%u", pid);
	snprintf(path, sizeof(path), "/proc/%s/ns/net", who);
	if (stat(path, &st) || (uint32_t)st.st_ino != netns)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%s/net/unix", who);
	return fopen(path, "re");
}

static int space_of(struct unix_ends *u, uint32_t pid, uint32_t netns)
{
	int unused = -1;

	for (int i = 0; i < MAX_SPACES; i++) {
		if (u->space[i].netns == netns)
			return i;
		if (!u->space[i].netns)
			unused = i;
	}
	FILE *f = unused < 0 ? NULL : open_table(pid, netns);
	if (!f && unused >= 0)
		f = open_table(0, netns);
	if (!f)
		return -1;
	u->space[unused] = (struct space){.netns = netns, .table = f};
	return unused;
}

void unix_ends_add(struct unix_ends *u, const struct ev_proc *p)
{
	if (!u || u->n == MAX_CONNS || !p->ino || !p->netns)
		return;
	int space = space_of(u, p->h.pid, p->netns);
	if (space < 0)
		return;
	u->space[space].conns++;
	u->conn[u->n++] = (struct conn){.id = p->h.conn_id, .ino = p->ino, .space = space};
}

static int by_place(const void *a, const void *b)
{
	const struct conn *x = a, *y = b;

	if (x->space != y->space)
		return x->space < y->space ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* Marks which connections of a namespace are in its table. Lines read; 0: it cannot be read. */
static size_t read_table(struct unix_ends *u, int space)
{
	char line[512];
	unsigned long ino;
	size_t lines = 0;
	FILE *f = u->space[space].table;

	rewind(f);
	while (fgets(line, sizeof(line), f)) {
		struct conn key = {.space = space}, *c;
		lines++;
		/* Num RefCount Protocol Flags Type St Inode [Path] */
		if (sscanf(line, "%*s %*s %*s %*s %*s %*s %lu", &ino) != 1)
			continue;
		key.ino = (uint32_t)ino;
		c = bsearch(&key, u->conn, u->n, sizeof(key), by_place);
		if (c)
			c->found = true;
	}
	return ferror(f) ? 0 : lines;
}

/* Ends the connections that are gone: twice in a row, since the table is not read in one go. */
static void judge(struct unix_ends *u, int space, void (*gone)(void *ctx, uint64_t id), void *ctx)
{
	for (size_t i = 0; i < u->n; i++) {
		struct conn *c = &u->conn[i];
		if (c->space != space)
			continue;
		c->missed = c->found ? 0 : c->missed + 1;
		c->found = false;
		if (c->missed < 2)
			continue;
		gone(ctx, c->id);
		u->space[space].conns--;
		*c = u->conn[--u->n];
		i--;
	}
}

void unix_ends_tick(struct unix_ends *u, double now, void (*gone)(void *ctx, uint64_t id), void *ctx)
{
	size_t lines = 0;

	if (!u || !u->n || now < u->next_s)
		return;
	for (int i = 0; i < MAX_SPACES; i++) {
		struct space *s = &u->space[i];
		if (!s->conns)
			continue;
		qsort(u->conn, u->n, sizeof(u->conn[0]), by_place);
		size_t got = read_table(u, i);
		lines += got;
		if (got)
			judge(u, i, gone, ctx);
		if (!s->conns) {
			fclose(s->table);
			*s = (struct space){0};
		}
	}
	u->next_s = now + EACH_S * (1 + (double)lines / LINES_EACH);
}

void unix_ends_free(struct unix_ends *u)
{
	for (int i = 0; u && i < MAX_SPACES; i++)
		if (u->space[i].table)
			fclose(u->space[i].table);
	free(u);
}
