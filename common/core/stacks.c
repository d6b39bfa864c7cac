/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stacks.c - the broker's part of stacks: addresses to mappings of the process; what the files' functions are called,
 * the worker tells. It must not know ELF, nor what stacks are wanted for.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/broker.h"
#include "target/maps.h"

#define FRAME_MAX 160

struct walk {
	struct broker *b;
	uint32_t pid;
	unsigned n;
	uint64_t ip[STACK_DEPTH];
	char name[STACK_DEPTH][FRAME_MAX]; /* empty: in no mapping */
};

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* A frame in a mapped file; without a symbol it is the place in the file. */
static void name_frame(struct walk *w, unsigned i, const struct map_line *m, int fd)
{
	/* All but the innermost are where a call returns to: the call is before that. */
	uint64_t off = w->ip[i] - (i > 0) - m->start + m->off;
	struct ipc_symbol s = {.off = off};

	if (fd >= 0 && broker_symbol(w->b, fd, &s))
		snprintf(w->name[i], FRAME_MAX, "%s+0x%llx", s.name, (unsigned long long)(s.into + (i > 0)));
	else
		snprintf(w->name[i], FRAME_MAX, "%.100s+0x%llx", *m->path ? file_name(m->path) : "[anon]",
		         (unsigned long long)(off + (i > 0)));
	for (char *c = w->name[i]; *c; c++)
		if (*c == ';')
			*c = ':';
}

static bool on_map(void *ctx, const struct map_line *m)
{
	struct walk *w = ctx;
	int fd = -1;

	for (unsigned i = 0; i < w->n; i++) {
		if (w->ip[i] < m->start || w->ip[i] >= m->end || w->name[i][0])
			continue;
		if (fd < 0 && m->path[0] == '/')
			fd = maps_open(w->pid, m);
		name_frame(w, i, m, fd);
	}
	if (fd >= 0)
		close(fd);
	return true;
}

/* Outermost first; where there is no room for all, the outermost are left out. */
static uint32_t join(const struct walk *w, char text[STACK_TEXT_MAX])
{
	unsigned from = 0;
	size_t n = 0;

	/* Code without frame pointers ends the kernel's walk with what is no place in the program. */
	for (size_t sum = 0; from < w->n && w->name[from][0]; from++) {
		sum += strlen(w->name[from]) + 4;
		if (sum > STACK_TEXT_MAX)
			break;
	}
	while (from-- > 0)
		n += (size_t)snprintf(text + n, STACK_TEXT_MAX - n, "%s%s", n ? ";" : "", w->name[from]);
	return (uint32_t)n;
}

void stacks_tell(struct broker *b, uint32_t pid, uint32_t id)
{
	struct walk w = {.b = b, .pid = pid};
	struct ev_stack ev = {.h = {.type = EV_STACK, .pid = pid}, .id = id + 1};
	struct ipc_msg m = {.type = IPC_EVENT, .u.event.size = sizeof(ev)};

	_Static_assert(sizeof(ev) <= IPC_EVENT_MAX, "a stack fits a message");
	w.n = loader_stack(b->loader, id, (__u64 *)w.ip);
	if (!w.n || maps_walk(pid, on_map, &w) < 0)
		return;
	ev.len = join(&w, ev.text);
	if (!ev.len)
		return;
	memcpy(m.u.event.bytes, &ev, sizeof(ev));
	if (can_send(b->run->sock, 0))
		ipc_send(b->run->sock, &m, -1);
}
