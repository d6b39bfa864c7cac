/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * places.c - where the TLS library of a process keeps a session's secrets: from the cache, or learnt once per library
 * by letting it talk to itself (target/selfhs.h).
 *
 * Part of the broker. It must not know connections or what a scan finds.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/broker.h"
#include "core/log.h"
#include "target/offcache.h"
#include "target/selfhs.h"

#define LIBRARIES 16 /* different ones in a run */

enum state { LOOKED, LEARNING, KNOWN, NEVER };

struct library {
	uint8_t id[sizeof(((struct attacher_ssl *)NULL)->build_id)];
	uint8_t nid; /* 0: free */
	uint8_t state;
	int fd; /* of the helper */
	struct offsets offsets;
};

struct places {
	struct library v[LIBRARIES];
};

static struct library *library_of(struct places *p, const struct attacher_ssl *s)
{
	struct library *free_one = NULL;

	for (int i = 0; i < LIBRARIES; i++) {
		struct library *l = &p->v[i];
		if (l->nid == s->nid && !memcmp(l->id, s->build_id, s->nid))
			return l;
		if (!l->nid && !free_one)
			free_one = l;
	}
	if (!free_one)
		return NULL;
	char dir[PATH_MAX];
	memcpy(free_one->id, s->build_id, s->nid);
	free_one->nid = s->nid;
	if (offcache_dir(dir, sizeof(dir)) && offcache_load(dir, span_of(s->build_id, s->nid), &free_one->offsets))
		free_one->state = KNOWN;
	return free_one;
}

static void learn(struct library *l, const struct attacher_ssl *s, uint32_t pid)
{
	struct err e = {0};
	pid_t child;

	l->fd = selfhs_start(s->fd_ssl, s->fd_crypto, &child, &e);
	l->state = l->fd < 0 ? NEVER : LEARNING;
	if (l->fd < 0)
		log_detail("pid %u: its TLS library cannot be learnt from: %s", pid, e.text);
}

const struct offsets *places_of(struct broker *b, uint32_t pid, bool wanted, uint64_t *base)
{
	struct attacher_ssl s;
	struct library *l;

	if (!b->places)
		b->places = calloc(1, sizeof(*b->places));
	if (!b->places || !attacher_ssl(b->attacher, pid, &s))
		return NULL;
	*base = s.base;
	l = library_of(b->places, &s);
	if (l && l->state == LOOKED && wanted)
		learn(l, &s, pid);
	close(s.fd_ssl);
	if (s.fd_crypto >= 0)
		close(s.fd_crypto);
	return l && l->state == KNOWN ? &l->offsets : NULL;
}

void places_tick(struct places *p)
{
	char dir[PATH_MAX];

	for (int i = 0; p && i < LIBRARIES; i++) {
		struct library *l = &p->v[i];
		struct err e = {0};
		int rc = l->nid && l->state == LEARNING ? selfhs_next(l->fd, &l->offsets, &e) : 0;
		if (!rc)
			continue;
		close(l->fd);
		l->state = rc > 0 ? KNOWN : NEVER;
		if (rc > 0 && offcache_dir(dir, sizeof(dir)))
			offcache_store(dir, span_of(l->id, l->nid), &l->offsets, &e);
		log_detail("learning from a TLS library: %s", e.text[0] ? e.text : "its sessions can be read now");
	}
}

void places_free(struct places *p)
{
	for (int i = 0; p && i < LIBRARIES; i++)
		if (p->v[i].nid && p->v[i].state == LEARNING)
			close(p->v[i].fd);
	free(p);
}
