/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * packets.c - see packets.h.
 *
 * All packets go through one queue in the order in which they came. At its end, HOLD_NS later, those of known
 * connections are written, others wait with their connection, boundedly.
 */
#include "core/packets.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "flow/pairs.h"

#define HOLD_NS      250000000ULL
#define HOLD_BYTES   (16u << 20) /* in the queue: beyond that it moves on early */
#define WAIT_BYTES   (8u << 20)  /* of connections that are not known (yet) */
#define WAIT_EACH    (128u << 10)
#define MAX_CONNS    16384
#define MAX_IFACES   48
#define MAX_EVENTS   32     /* that wait for a packet of their connection */
#define EVENT_MAX    512    /* bytes of one's pairs, and of its text */
#define EVENT_LATE   500000 /* ns: an event comes so long after the packet that it is about, at most */
#define READ_AT_ONCE 1024
#define LAST_WAITS   4
#define LAST_MS      10

struct held {
	struct held *next;
	struct pair_key key;
	uint64_t ts_ns;
	size_t wire_len;
	uint32_t n;
	int iface;
	uint8_t from; /* index of the sender in key */
	bool syn, outgoing, loopback;
	uint8_t b[];
};

struct queue {
	struct held *first, **end;
	size_t bytes;
};

struct event {
	struct event *next;
	uint64_t ts_ns;
	size_t npairs, ntext;
	char pairs[EVENT_MAX], text[EVENT_MAX];
};

struct pconn {
	struct pair ends;
	bool known, ours[2]; /* ours: this end's process is traced */
	uint64_t since_ns, number;
	struct origin who;
	struct queue wait; /* while it is not known */
	struct event *events, **events_end;
	unsigned nevents;
	unsigned queued; /* packets of it in the queue of all */
};

struct iface {
	unsigned source, ifindex;
	int number;
	uint64_t received;
};

struct packets {
	struct packets_cfg cfg;
	struct pairs conns; /* of struct pconn */
	struct queue all;
	size_t waiting;
	struct iface iface[MAX_IFACES];
	size_t nifaces;
	struct buf pairs, text;
	struct packets_stats stats;
	uint64_t now_ns;
};

struct packets *packets_new(const struct packets_cfg *cfg)
{
	struct packets *p = calloc(1, sizeof(*p));

	if (!p || !pairs_init(&p->conns, MAX_CONNS)) {
		free(p);
		return NULL;
	}
	p->cfg = *cfg;
	p->all.end = &p->all.first;
	p->pairs.max = p->text.max = (MAX_EVENTS + 1) * EVENT_MAX;
	return p;
}

/* ---- queues ---- */

static void push(struct queue *q, struct held *h)
{
	if (!q->first)
		q->end = &q->first;
	h->next = NULL;
	*q->end = h;
	q->end = &h->next;
	q->bytes += sizeof(*h) + h->n;
}

static struct held *pop(struct queue *q)
{
	struct held *h = q->first;

	if (h) {
		q->first = h->next;
		q->bytes -= sizeof(*h) + h->n;
	}
	return h;
}

/* ---- connections ---- */

/* What waits with it is of no traced connection. */
static void forget_packets(struct packets *p, struct pconn *c)
{
	p->waiting -= c->wait.bytes;
	for (struct held *h; (h = pop(&c->wait));)
		free(h);
}

static void conn_free(struct packets *p, struct pconn *c)
{
	forget_packets(p, c);
	for (struct event *e; (e = c->events);) {
		c->events = e->next;
		free(e);
	}
	pairs_remove(&p->conns, &c->ends);
	free(c);
}

/* NULL when out of memory. */
static struct pconn *conn_get(struct packets *p, const struct pair_key *k)
{
	struct pconn *c = (struct pconn *)pairs_find(&p->conns, k);

	if (c) {
		pairs_touch(&p->conns, &c->ends);
		return c;
	}
	while (pairs_full(&p->conns))
		conn_free(p, (struct pconn *)p->conns.first);
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->events_end = &c->events;
	pairs_add(&p->conns, &c->ends, k);
	return c;
}

/* ---- writing ---- */

static int iface_of(struct packets *p, const struct netpkt_got *g)
{
	char name[64], about[128];
	struct iface *i = p->iface;

	for (; i < p->iface + p->nifaces; i++)
		if (i->source == g->source && i->ifindex == g->ifindex)
			return (int)(i - p->iface);
	if (p->nifaces == MAX_IFACES)
		return MAX_IFACES - 1;
	snprintf(name, sizeof(name), "%.40s", g->name);
	if (netpkt_sources(p->cfg.net) > 1)
		snprintf(name, sizeof(name), "%.40s@%u", g->name, netpkt_netns(p->cfg.net, g->source));
	snprintf(about, sizeof(about), "packets of traced connections, network namespace %u",
	         netpkt_netns(p->cfg.net, g->source));
	i->number = capture_interface(p->cfg.cap, name, about);
	if (i->number < 0)
		return p->nifaces ? 0 : -1;
	i->source = g->source;
	i->ifindex = g->ifindex;
	i->received = 0;
	return (int)p->nifaces++;
}

static enum pcapng_dir dir_of(const struct pconn *c, const struct held *h)
{
	if (c->ours[0] != c->ours[1])
		return c->ours[h->from] ? PCAPNG_DIR_OUT : PCAPNG_DIR_IN;
	if (h->loopback)
		return PCAPNG_DIR_UNKNOWN;
	return h->outgoing ? PCAPNG_DIR_OUT : PCAPNG_DIR_IN;
}

/* What is told with this packet. */
static void describe(struct packets *p, struct pconn *c, const struct held *h)
{
	struct capture_about a = {.conn = c->number, .nth = REC_UNKNOWN, .who = c->who};

	/* Nothing came after this packet: what happened since is about it. */
	uint64_t until = h->ts_ns + (c->queued ? EVENT_LATE : HOLD_NS);

	p->pairs.n = p->text.n = 0;
	capture_note(&p->pairs, &a);
	for (struct event *e; (e = c->events) && e->ts_ns <= until;) {
		buf_addc(&p->pairs, ' ');
		buf_add(&p->pairs, e->pairs, e->npairs);
		if (p->text.n)
			buf_adds(&p->text, "; ");
		text_safe(&p->text, span_of(e->text, e->ntext));
		c->events = e->next;
		if (!c->events)
			c->events_end = &c->events;
		c->nevents--;
		free(e);
	}
}

/* Writes h and frees it. */
static void write_packet(struct packets *p, struct pconn *c, struct held *h)
{
	struct iface *i = &p->iface[h->iface];
	struct pcapng_packet out = {
	    .iface = (uint32_t)i->number,
	    .ts_ns = h->ts_ns,
	    .bytes = span_of(h->b, h->n),
	    .wire_len = h->wire_len,
	    .dir = dir_of(c, h),
	};

	describe(p, c, h);
	out.custom = buf_span(&p->pairs);
	out.comment = buf_span(&p->text);
	capture_packet(p->cfg.cap, &out);
	i->received++;
	p->stats.written++;
	free(h);
}

/* One packet has waited long enough. */
static void settle(struct packets *p, struct held *h)
{
	struct pconn *c = conn_get(p, &h->key);

	if (c && c->queued)
		c->queued--;
	/* Another connection between the same ends, which nobody has told of yet. */
	if (c && c->known && h->syn && h->ts_ns > c->since_ns) {
		c->known = c->ours[0] = c->ours[1] = false;
		c->number = 0;
	}
	if (c && c->known) {
		write_packet(p, c, h);
		return;
	}
	if (!c || c->wait.bytes + h->n > WAIT_EACH) {
		free(h);
		return;
	}
	push(&c->wait, h);
	p->waiting += sizeof(*h) + h->n;
	for (struct pair *old = p->conns.first; old && p->waiting > WAIT_BYTES; old = old->next)
		forget_packets(p, (struct pconn *)old);
}

void packets_known(struct packets *p, const struct rec_addr *local, const struct rec_addr *remote, uint64_t number,
                   const struct origin *who, uint64_t since_ns)
{
	struct pair_key k;
	struct pconn *c;
	int ours;

	ours = pair_of_ends(local, remote, &k);
	if (ours < 0 || !(c = conn_get(p, &k)))
		return;
	if (!c->known || since_ns > c->since_ns)
		c->since_ns = since_ns;
	c->known = c->ours[ours] = true;
	if (number && !c->number)
		c->number = number;
	if (who && !c->who.pid)
		c->who = *who;
	p->waiting -= c->wait.bytes;
	for (struct held *h; (h = pop(&c->wait));)
		write_packet(p, c, h);
}

void packets_event(struct packets *p, const struct rec_addr *local, const struct rec_addr *remote, uint64_t ts_ns,
                   struct span pairs, struct span text)
{
	struct pair_key k;
	struct pconn *c;
	struct event *e;
	int ours;

	ours = pair_of_ends(local, remote, &k);
	if (ours < 0 || !(c = conn_get(p, &k)) || c->nevents == MAX_EVENTS)
		return;
	e = calloc(1, sizeof(*e));
	if (!e)
		return;
	pairs = span_sub(pairs, 0, EVENT_MAX);
	text = span_sub(text, 0, EVENT_MAX);
	e->ts_ns = ts_ns;
	e->npairs = pairs.n;
	e->ntext = text.n;
	memcpy(e->pairs, pairs.p, pairs.n);
	memcpy(e->text, text.p, text.n);
	*c->events_end = e;
	c->events_end = &e->next;
	c->nevents++;
}

/* ---- reading ---- */

static void on_packet(void *ctx, const struct netpkt_got *g)
{
	struct packets *p = ctx;
	struct tcp_seg s;
	size_t n = NETPKT_HEAD + g->bytes.n;
	struct held *h = malloc(sizeof(*h) + n);

	if (!h) {
		p->stats.dropped++;
		return;
	}
	*h = (struct held){.ts_ns = g->ts_ns, .wire_len = NETPKT_HEAD + g->wire_len, .n = (uint32_t)n};
	h->outgoing = g->outgoing;
	h->loopback = g->loopback;
	memcpy(h->b, g->head, NETPKT_HEAD);
	if (g->bytes.n)
		memcpy(h->b + NETPKT_HEAD, g->bytes.p, g->bytes.n);
	h->iface = iface_of(p, g);
	if (h->iface < 0 || packet_ethernet(span_of(h->b, n), h->wire_len, &s) != PKT_TCP) {
		free(h);
		return;
	}
	h->from = (uint8_t)pair_of(&s, &h->key);
	h->syn = (s.flags & (SEG_SYN | SEG_ACK)) == SEG_SYN;
	struct pconn *c = conn_get(p, &h->key);
	if (c)
		c->queued++;
	push(&p->all, h);
}

static void settle_until(struct packets *p, uint64_t ts_ns)
{
	while (p->all.first && (p->all.first->ts_ns <= ts_ns || p->all.bytes > HOLD_BYTES))
		settle(p, pop(&p->all));
}

/* Drops are a namespace's: they stand at its first interface. */
static void count(struct packets *p)
{
	p->stats.dropped = 0;
	for (unsigned s = 0; s < netpkt_sources(p->cfg.net); s++) {
		uint64_t dropped = netpkt_dropped(p->cfg.net, s);
		p->stats.dropped += dropped;
		for (size_t i = 0; i < p->nifaces; i++) {
			if (p->iface[i].source != s)
				continue;
			capture_counted(p->cfg.cap, p->iface[i].number, p->iface[i].received, dropped);
			dropped = 0;
		}
	}
}

void packets_tick(struct packets *p, uint64_t now_ns)
{
	bool more;

	do {
		more = netpkt_read(p->cfg.net, READ_AT_ONCE, on_packet, p);
		settle_until(p, now_ns - HOLD_NS);
	} while (more && p->all.bytes < HOLD_BYTES / 2);
	if (now_ns - p->now_ns > 1000000000ULL) {
		p->now_ns = now_ns;
		count(p);
	}
}

void packets_finish(struct packets *p, struct packets_stats *st)
{
	/* The kernel hands packets over some milliseconds after they came. */
	for (int i = 0; i < LAST_WAITS; i++) {
		poll(NULL, 0, LAST_MS);
		while (netpkt_read(p->cfg.net, READ_AT_ONCE, on_packet, p))
			settle_until(p, 0);
	}
	settle_until(p, UINT64_MAX);
	count(p);
	*st = p->stats;
}

void packets_free(struct packets *p)
{
	if (!p)
		return;
	while (p->conns.first)
		conn_free(p, (struct pconn *)p->conns.first);
	for (struct held *h; (h = pop(&p->all));)
		free(h);
	pairs_free(&p->conns);
	buf_free(&p->pairs);
	buf_free(&p->text);
	free(p);
}
