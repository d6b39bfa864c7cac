/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * windows.c - the broker's part of tools about TCP windows: whose sockets are there, how they stand at the start, and
 * every --interval. It must not know what the tools make of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/broker.h"
#include "core/log.h"
#include "target/sockdiag.h"

#define PIDS_MAX 65536
#define SEND_MS  2000 /* how long a stopped worker is waited for, once per list */

enum { ST_LISTEN = 10, ST_ESTABLISHED = 1, ST_CLOSE_WAIT = 8 };

struct windows {
	struct broker *b;
	struct sockdiag *diag;
	struct sockown *own; /* during a list */
	uint32_t *pids;
	size_t npids, cap;
	bool seeding, stuck, complained;
	double next_s;
	uint64_t told, unsaid; /* sockets of the present list */
	/* Listeners of the present list: who has what was not accepted. */
	struct listener {
		uint64_t key;
		struct sock_owner who;
	} * listeners;
	size_t nlisteners;
};

struct windows *windows_new(struct broker *b)
{
	struct windows *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->b = b;
	w->diag = sockdiag_new();
	if (!w->diag) {
		free(w);
		return NULL;
	}
	return w;
}

void windows_free(struct windows *w)
{
	if (!w)
		return;
	sockdiag_free(w->diag);
	free(w->pids);
	free(w->listeners);
	free(w);
}

/* Once: it would be the same again. */
static void complain(struct windows *w, const struct err *e)
{
	if (w->complained)
		log_detail("%s", e->text);
	else
		log_note("%s: connections older than the tool may be missing", e->text);
	w->complained = true;
}

void windows_add(struct windows *w, uint32_t pid)
{
	struct err e = {0};

	if (!w)
		return;
	/* --netns names the one namespace that matters. */
	if (!w->b->run->rc.target.netns_pid && sockdiag_add(w->diag, pid, &e) < 0)
		complain(w, &e);
	for (size_t i = 0; i < w->npids; i++)
		if (w->pids[i] == pid)
			return;
	if (w->npids == w->cap) {
		size_t more = w->cap ? 2 * w->cap : 64;
		uint32_t *p = more <= PIDS_MAX ? realloc(w->pids, more * sizeof(*p)) : NULL;
		if (!p)
			return;
		w->pids = p;
		w->cap = more;
	}
	w->pids[w->npids++] = pid;
}

void windows_del(struct windows *w, uint32_t pid)
{
	for (size_t i = 0; w && i < w->npids; i++)
		if (w->pids[i] == pid) {
			w->pids[i] = w->pids[--w->npids];
			return;
		}
}

static uint64_t listener_key(const struct ev_win *ev)
{
	return (uint64_t)ev->netns << 16 | ev->addr.lport;
}

static void set_owner(struct ev_win *ev, const struct sock_owner *who, uint8_t how)
{
	ev->h.pid = ev->h.tid = who->pid;
	ev->owner = how;
	memcpy(ev->h.comm, who->comm, sizeof(ev->h.comm));
	if (who->stopped)
		ev->flags |= WINF_STOPPED;
}

static void find_owner(const struct windows *w, struct ev_win *ev)
{
	const struct sock_owner *who = sockown_find(w->own, ev->ino);

	if (who) {
		set_owner(ev, who, OWNER_FD);
		return;
	}
	/* Without an inode it was given up, or nobody has accepted it yet. */
	if (ev->ino || (ev->state != ST_ESTABLISHED && ev->state != ST_CLOSE_WAIT))
		return;
	for (size_t i = 0; i < w->nlisteners; i++)
		if (w->listeners[i].key == listener_key(ev)) {
			set_owner(ev, &w->listeners[i].who, OWNER_LISTENER);
			return;
		}
}

static bool port_wanted(const struct target_spec *ts, const struct ev_win *ev)
{
	for (size_t i = 0; i < ts->nports; i++)
		if (ev->addr.lport == ts->ports[i] || ev->addr.rport == ts->ports[i])
			return true;
	return !ts->nports;
}

/* Who listens is known first: connections that wait there belong to them. */
static void on_listener(void *ctx, struct ev_win *ev)
{
	struct windows *w = ctx;
	const struct sock_owner *who = ev->state == ST_LISTEN ? sockown_find(w->own, ev->ino) : NULL;
	struct listener *more;

	if (!who)
		return;
	more = realloc(w->listeners, (w->nlisteners + 1) * sizeof(*more));
	if (!more)
		return;
	w->listeners = more;
	w->listeners[w->nlisteners++] = (struct listener){listener_key(ev), *who};
	if (w->seeding) {
		struct win_old o = {.pid = who->pid, .tid = who->pid, .wanted = 1};
		memcpy(o.comm, who->comm, sizeof(o.comm));
		loader_put_listener(w->b->loader, listener_key(ev), &o);
	}
}

static void to_worker(struct windows *w, const void *ev, size_t size)
{
	struct ipc_msg m = {.type = IPC_EVENT, .u.event.size = size};

	_Static_assert(sizeof(struct ev_win_hist) <= IPC_EVENT_MAX, "the largest event fits a message");
	memcpy(m.u.event.bytes, ev, size);
	if (w->stuck || !can_send(w->b->run->sock, SEND_MS) || ipc_send(w->b->run->sock, &m, -1) < 0) {
		w->stuck = true; /* its reader is: the rest of this list is not worth the wait */
		w->unsaid++;
		return;
	}
	w->told++;
}

static void on_conn(void *ctx, struct ev_win *ev)
{
	struct windows *w = ctx;
	const uint32_t task_filters = FILTER_PID | FILTER_COMM | FILTER_UID | FILTER_CGROUP;

	if (ev->state == ST_LISTEN || !port_wanted(&w->b->run->rc.target, ev))
		return;
	find_owner(w, ev);
	ev->what = w->seeding ? WIN_OLD : WIN_POLL;
	/* Others' sockets; one without an inode may be a traced process's that has closed it. */
	if (!ev->h.pid && (ev->ino || w->seeding) && (w->b->filters & task_filters))
		return;
	if (!w->seeding) {
		to_worker(w, ev, sizeof(*ev));
		return;
	}
	ev->flags |= WINF_OLDER;
	if ((ev->flags & WINF_WSCALE_KNOWN) && !(ev->flags & WINF_WSCALE))
		ev->noscale = NOSCALE_OLD;
	struct win_old o = {
	    .zero_ns = {ev->zero_ns[0], ev->zero_ns[1]},
	    .pid = ev->h.pid,
	    .tid = ev->h.tid,
	    .flags = WINF_OLDER,
	    .noscale = ev->noscale,
	    .wanted = 1,
	};
	memcpy(o.comm, ev->h.comm, sizeof(o.comm));
	if (!loader_put_old(w->b->loader, ev->cookie, &o))
		w->unsaid++;
	to_worker(w, ev, sizeof(*ev));
}

static void list_all(struct windows *w)
{
	struct err e = {0};

	w->own = sockown_new();
	if (!w->own)
		return;
	w->told = w->unsaid = 0;
	w->stuck = false;
	w->nlisteners = 0;
	for (size_t i = 0; i < w->npids; i++)
		sockown_scan(w->own, w->pids[i]);
	if (sockdiag_list(w->diag, on_listener, w, &e) < 0 || sockdiag_list(w->diag, on_conn, w, &e) < 0)
		complain(w, &e);
	struct ev_win end = {.h.type = EV_WIN, .what = WIN_LISTED};
	end.h.ts_ns = (uint64_t)(now_s() * 1e9);
	to_worker(w, &end, sizeof(end));
	if (w->unsaid)
		log_detail("%llu connections found no room", (unsigned long long)w->unsaid);
	sockown_free(w->own);
	w->own = NULL;
}

void windows_seed(struct windows *w)
{
	const struct run_cfg *rc = &w->b->run->rc;
	struct err e = {0};

	if (rc->target.netns_pid && sockdiag_add(w->diag, rc->target.netns_pid, &e) < 0)
		complain(w, &e);
	w->seeding = true;
	if (!rc->cmd)
		list_all(w);
	w->seeding = false;
	w->next_s = now_s() + (double)rc->win_poll_ns / 1e9;
}

void windows_finish(struct windows *w)
{
	struct ev_win_hist ev = {.h.type = EV_WIN_HIST};

	if (!w || !w->b->run->rc.win_hist || !loader_win_hist(w->b->loader, &ev.hist))
		return;
	w->stuck = false;
	to_worker(w, &ev, sizeof(ev));
}

void windows_tick(struct windows *w, double now)
{
	double step;

	if (!w || !w->b->run->rc.win_poll_ns || now < w->next_s)
		return;
	list_all(w);
	step = (double)w->b->run->rc.win_poll_ns / 1e9;
	w->next_s += step;
	if (w->next_s < now_s()) /* listing took longer than that */
		w->next_s = now_s() + step;
}

int windows_next_ms(const struct windows *w, double now)
{
	double left;

	if (!w || !w->b->run->rc.win_poll_ns)
		return 1000;
	left = (w->next_s - now) * 1e3;
	return left < 0 ? 0 : left > 1000 ? 1000 : (int)left + 1;
}
