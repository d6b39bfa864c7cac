/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * olds.c - the broker's part of tools about connections: TCP sockets that are older than the tool, told to the worker
 * once, and questions to connection tracking answered. It must not know what the tool makes of either.
 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/broker.h"
#include "core/log.h"
#include "target/nfct.h"
#include "target/sockdiag.h"

#define SEND_MS 2000

enum { ST_ESTABLISHED = 1, ST_CLOSE_WAIT = 8, ST_LISTEN = 10 };

struct olds {
	struct broker *b;
	struct sockdiag *diag;
	struct sockown *own;
	uint64_t listens[65536 / 64]; /* ports that are listened on, a bit each */
	uint64_t told, unsaid;
};

struct olds *olds_new(struct broker *b)
{
	struct olds *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->b = b;
	o->diag = sockdiag_new();
	o->own = sockown_new();
	if (o->diag && o->own)
		return o;
	olds_free(o);
	return NULL;
}

void olds_free(struct olds *o)
{
	if (!o)
		return;
	sockdiag_free(o->diag);
	sockown_free(o->own);
	free(o);
}

void olds_add(struct olds *o, uint32_t pid)
{
	struct err e = {0};

	if (!o)
		return;
	if (sockdiag_add(o->diag, pid, &e) < 0)
		log_detail("%s", e.text);
	sockown_scan(o->own, pid);
}

static void on_listener(void *ctx, struct ev_win *w)
{
	struct olds *o = ctx;

	if (w->state == ST_LISTEN)
		o->listens[w->addr.lport >> 6] |= 1ULL << (w->addr.lport & 63);
}

static bool wanted(const struct olds *o, const struct ev_win *w)
{
	const struct target_spec *ts = &o->b->run->rc.target;
	bool port = !ts->nports;

	for (size_t i = 0; i < ts->nports; i++)
		port |= w->addr.lport == ts->ports[i] || w->addr.rport == ts->ports[i];
	return port && (w->state == ST_ESTABLISHED || w->state == ST_CLOSE_WAIT);
}

/*
 * Stream bytes that its process has sent and read. TCP counts the SYN of who connected as acknowledged, and the peer's
 * FIN as received and as waiting to be read.
 */
static void put_bytes(struct ev_sock *s, const struct ev_win *w)
{
	uint64_t rcvq = w->rcvq == WIN_UNKNOWN ? 0 : w->rcvq, sndq = w->sndq == WIN_UNKNOWN ? 0 : w->sndq;
	uint64_t in = w->bytes_received == WIN_UNKNOWN64 ? 0 : w->bytes_received;
	uint64_t out = w->bytes_acked == WIN_UNKNOWN64 ? 0 : w->bytes_acked;

	if (w->state == ST_CLOSE_WAIT && in) {
		in--;
		rcvq -= rcvq ? 1 : 0;
	}
	if (!s->server && out)
		out--;
	s->bytes[DIR_IN] = in > rcvq ? in - rcvq : 0;
	s->bytes[DIR_OUT] = out + sndq;
}

static void on_sock(void *ctx, struct ev_win *w)
{
	struct olds *o = ctx;
	const struct sock_owner *who = sockown_find(o->own, w->ino);
	struct ipc_msg m = {.type = IPC_EVENT, .u.event.size = sizeof(struct ev_sock)};
	struct ev_sock s = {.h = {.ts_ns = w->h.ts_ns, .conn_id = w->cookie, .type = EV_SOCK}};

	if (!who || !wanted(o, w))
		return;
	s.h.pid = s.h.tid = who->pid;
	memcpy(s.h.comm, who->comm, sizeof(s.h.comm));
	s.addr = w->addr;
	s.ino = w->ino;
	s.state = w->state;
	s.idle_ms = w->idle_ms;
	s.server = o->listens[w->addr.lport >> 6] >> (w->addr.lport & 63) & 1;
	put_bytes(&s, w);
	/* A packet may end it before its process uses it again. */
	struct win_old old = {.pid = who->pid, .tid = who->pid, .wanted = 1};
	memcpy(old.comm, who->comm, sizeof(old.comm));
	loader_put_old(o->b->loader, w->cookie, &old);
	memcpy(m.u.event.bytes, &s, sizeof(s));
	if (!can_send(o->b->run->sock, o->unsaid ? 0 : SEND_MS) || ipc_send(o->b->run->sock, &m, -1) < 0)
		o->unsaid++;
	else
		o->told++;
}

void olds_tell(struct olds *o)
{
	struct err e = {0};

	if (!o)
		return;
	if (sockdiag_list(o->diag, on_listener, o, &e) < 0 || sockdiag_list(o->diag, on_sock, o, &e) < 0)
		log_note("connections older than the tool are not all listed: %s", e.text);
	if (o->unsaid)
		log_note("%llu connections older than the tool are not listed: its output is blocked",
		         (unsigned long long)o->unsaid);
	/* Asked once: what comes later is seen to begin. */
	sockown_free(o->own);
	o->own = NULL;
	sockdiag_free(o->diag);
	o->diag = NULL;
}

void ct_reply(struct broker *b, const struct ct_ask *q)
{
	struct ipc_msg m = {.type = IPC_EVENT, .u.event.size = sizeof(struct ev_ct)};
	struct ev_ct out;

	if ((q->addr.family != AF_INET && q->addr.family != AF_INET6) || nfct_get(b->nfct, &q->addr, &out) < 0)
		return;
	out.h.conn_id = q->conn_id;
	out.h.ts_ns = (uint64_t)(now_s() * 1e9);
	memcpy(m.u.event.bytes, &out, sizeof(out));
	if (can_send(b->run->sock, 0))
		ipc_send(b->run->sock, &m, -1);
}
