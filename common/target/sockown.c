/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sockown.c - see sockdiag.h: /proc/PID/fd of the processes in question. It must not know what is in the sockets.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target/sockdiag.h"

#define OWN_MAX (1U << 20) /* sockets remembered; what comes later is nobody's */

struct sockown {
	struct sock_owner *slot; /* open addressing by inode; ino 0: free */
	size_t cap, n;
};

struct sockown *sockown_new(void)
{
	return calloc(1, sizeof(struct sockown));
}

static struct sock_owner *place(const struct sockown *o, uint32_t ino)
{
	size_t i = ino * 2654435761U & (o->cap - 1);

	while (o->slot[i].ino && o->slot[i].ino != ino)
		i = (i + 1) & (o->cap - 1);
	return &o->slot[i];
}

/* Room for one more at a load of at most a half. */
static bool make_room(struct sockown *o)
{
	struct sockown more = {.cap = o->cap ? 2 * o->cap : 256};

	if (2 * (o->n + 1) <= o->cap)
		return true;
	if (o->n >= OWN_MAX)
		return false;
	more.slot = calloc(more.cap, sizeof(*more.slot));
	if (!more.slot)
		return false;
	for (size_t i = 0; i < o->cap; i++)
		if (o->slot[i].ino)
			*place(&more, o->slot[i].ino) = o->slot[i];
	free(o->slot);
	o->slot = more.slot;
	o->cap = more.cap;
	return true;
}

/* Name and state of a process. */
static bool read_stat(uint32_t pid, struct sock_owner *who)
{
	char path[32], text[512] = "", *open_, *end;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	open_ = strchr(text, '(');
	end = strrchr(text, ')'); /* the name may hold anything */
	if (!open_ || !end || end < open_ || end[1] != ' ')
		return false;
	n = (size_t)(end - open_ - 1);
	memset(who->comm, 0, sizeof(who->comm));
	memcpy(who->comm, open_ + 1, n < sizeof(who->comm) - 1 ? n : sizeof(who->comm) - 1);
	who->stopped = end[2] == 'T' || end[2] == 't';
	return true;
}

void sockown_scan(struct sockown *o, uint32_t pid)
{
	struct sock_owner who = {.pid = pid};
	char path[32], link[64];
	struct dirent *de;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	dir = read_stat(pid, &who) ? opendir(path) : NULL;
	if (!dir)
		return;
	while ((de = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);

		if (n <= 8 || memcmp(link, "socket:[", 8))
			continue;
		link[n] = 0;
		who.ino = (uint32_t)strtoul(link + 8, NULL, 10);
		if (!who.ino || !make_room(o))
			continue;
		struct sock_owner *at = place(o, who.ino);
		if (!at->ino) {
			*at = who;
			o->n++;
		}
	}
	closedir(dir);
}

const struct sock_owner *sockown_find(const struct sockown *o, uint32_t ino)
{
	const struct sock_owner *at = o->cap && ino ? place(o, ino) : NULL;

	return at && at->ino ? at : NULL;
}

void sockown_free(struct sockown *o)
{
	if (o)
		free(o->slot);
	free(o);
}
