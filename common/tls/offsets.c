/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offsets.c - learning places by elimination, and reading sessions by them.
 *
 * The first session shown yields every place where a known value stands; each further one drops those that do not hold
 * for it. It must not know processes, files of libraries or connections.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/secmem.h"
#include "tls/offsets.h"

#define REACH      8192 /* bytes of a session, and behind each pointer in it */
#define SIG_REACH  2048
#define MAX_PLACES 4096 /* candidates kept per field */
#define MAX_SIGS   512
#define SEQ_LIMIT  (1ull << 48)

struct places {
	struct field_place *p;
	size_t n;
	bool begun;
};

struct sig {
	uint32_t off;
	uint64_t rel;
	unsigned sessions; /* that had it */
};

struct learner {
	struct places field[SESSION_FIELDS];
	struct sig sig[MAX_SIGS];
	size_t nsigs;
	unsigned sessions;
	uint64_t last; /* the session added last: shown again, its signature counts once */
	uint8_t obj[REACH], far[REACH];
};

struct learner *learner_new(void)
{
	return calloc(1, sizeof(struct learner));
}

void learner_free(struct learner *l)
{
	if (!l)
		return;
	for (int f = 0; f < SESSION_FIELDS; f++)
		free(l->field[f].p);
	secmem_wipe(l, sizeof(*l));
	free(l);
}

static uint64_t word_at(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static void add_place(struct places *s, struct field_place p)
{
	if (!s->p)
		s->p = calloc(MAX_PLACES, sizeof(*s->p));
	if (s->p && s->n < MAX_PLACES)
		s->p[s->n++] = p;
}

static bool in_range(uint64_t v, const struct known_session *k, int which)
{
	return v >= k->seq_min[which] && v <= k->seq_max[which];
}

/* Notes every wanted value in n bytes that are reached by `at` (its last offset is still open). */
static void find_in(struct learner *l, const uint8_t *p, size_t n, struct field_place at, const struct known_session *k,
                    unsigned fresh)
{
	uint32_t *off = &at.off[at.depth - 1];
	/* BoringSSL packs them: any byte may be the first. */
	for (int f = 0; f < FIELD_SEQ_IN; f++) {
		const uint8_t *from = p, *hit;
		struct span v = k->value[f];
		while ((fresh >> f & 1) && (hit = memmem(from, n - (size_t)(from - p), v.p, v.n))) {
			*off = (uint32_t)(hit - p);
			add_place(&l->field[f], at);
			from = hit + 1;
		}
	}
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t v = word_at(p + i);
		*off = (uint32_t)i;
		for (int w = 0; w < 2 && v; w++) {
			if (!(fresh >> (FIELD_SEQ_IN + w) & 1))
				continue;
			for (int be = 0; be < 2; be++) {
				at.big_endian = (uint8_t)be;
				if (in_range(be ? __builtin_bswap64(v) : v, k, w))
					add_place(&l->field[FIELD_SEQ_IN + w], at);
			}
			at.big_endian = 0;
		}
	}
}

/* Could this be a pointer to data of a user process? */
static bool is_pointer(uint64_t v)
{
	return v >= 0x10000 && v < (1ull << 47) && v % 8 == 0;
}

/* Up to n bytes at addr; less than a page where the next one is missing. */
static size_t read_some(const struct mem_view *v, uint64_t addr, uint8_t *buf, size_t n)
{
	size_t got = v->read(v->ctx, addr, buf, n);
	return got < n ? got & ~(size_t)7 : n;
}

bool offsets_valid(const struct offsets *o)
{
	bool any = false;
	if (o->sig_off >= REACH || !o->nsig || o->nsig > OFFSETS_SIGS)
		return false;
	for (int f = 0; f < SESSION_FIELDS; f++) {
		const struct field_place *p = &o->place[f];
		if (p->depth > 2 || p->big_endian > 1 || p->off[0] >= REACH || p->off[1] >= REACH)
			return false;
		any |= p->depth > 0;
	}
	return any;
}

/* The bytes at a place of the session at addr. */
static bool read_place(const struct mem_view *v, uint64_t addr, const struct field_place *p, void *buf, size_t n)
{
	uint64_t at = addr + p->off[0];
	if (p->depth == 2) {
		uint64_t far;
		if (v->read(v->ctx, at, &far, sizeof(far)) != sizeof(far) || !is_pointer(far))
			return false;
		at = far + p->off[1];
	}
	return p->depth && v->read(v->ctx, at, buf, n) == n;
}

static bool read_seq(const struct mem_view *v, uint64_t addr, const struct field_place *p, uint64_t *seq)
{
	if (!read_place(v, addr, p, seq, sizeof(*seq)))
		return false;
	if (p->big_endian)
		*seq = __builtin_bswap64(*seq);
	return *seq < SEQ_LIMIT;
}

/* Does a candidate hold for this session, too? */
static bool holds(const struct mem_view *v, const struct known_session *k, int f, const struct field_place *p)
{
	uint8_t buf[64];
	uint64_t seq;
	if (f >= FIELD_SEQ_IN)
		return read_seq(v, k->addr, p, &seq) && in_range(seq, k, f - FIELD_SEQ_IN);
	bool same = k->value[f].n <= sizeof(buf) && read_place(v, k->addr, p, buf, k->value[f].n) &&
	            !memcmp(buf, k->value[f].p, k->value[f].n);
	secmem_wipe(buf, sizeof(buf));
	return same;
}

static void note_sigs(struct learner *l, const struct known_session *k, size_t n)
{
	for (size_t i = 0; i + 8 <= n && i < SIG_REACH; i += 8) {
		uint64_t v = word_at(l->obj + i);
		if (v < k->lib_start || v >= k->lib_end)
			continue;
		size_t s = 0;
		while (s < l->nsigs && (l->sig[s].off != i || l->sig[s].rel != v - k->lib_start))
			s++;
		if (s == l->nsigs && s < MAX_SIGS)
			l->sig[l->nsigs++] = (struct sig){(uint32_t)i, v - k->lib_start, 0};
		if (s < l->nsigs)
			l->sig[s].sessions++;
	}
}

bool learner_add(struct learner *l, const struct mem_view *v, const struct known_session *k)
{
	unsigned fresh = 0;
	size_t n = read_some(v, k->addr, l->obj, REACH);
	if (n < 64)
		return false;
	if (l->last != k->addr) {
		note_sigs(l, k, n);
		l->sessions++;
		l->last = k->addr;
	}
	for (int f = 0; f < SESSION_FIELDS; f++) {
		struct places *s = &l->field[f];
		bool known = f < FIELD_SEQ_IN ? k->value[f].n >= 16 : k->seq_max[f - FIELD_SEQ_IN] > 0;
		if (!known)
			continue;
		fresh |= (unsigned)!s->begun << f;
		s->begun = true;
		size_t kept = 0;
		for (size_t i = 0; i < s->n; i++)
			if (holds(v, k, f, &s->p[i]))
				s->p[kept++] = s->p[i];
		s->n = kept;
	}
	if (!fresh)
		return true;
	find_in(l, l->obj, n, (struct field_place){.depth = 1}, k, fresh);
	for (size_t i = 0; i + 8 <= n; i += 8) {
		uint64_t p = word_at(l->obj + i);
		size_t m = is_pointer(p) ? read_some(v, p, l->far, REACH) : 0;
		if (m)
			find_in(l, l->far, m, (struct field_place){.depth = 2, .off = {(uint32_t)i, 0}}, k, fresh);
	}
	return true;
}

/* The word that every session had pointing into the library, with the fewest different values. */
static bool pick_sig(const struct learner *l, struct offsets *o)
{
	unsigned fewest = OFFSETS_SIGS + 1;
	for (size_t i = 0; i < l->nsigs; i++) {
		unsigned different = 0, sessions = 0;
		for (size_t k = 0; k < l->nsigs; k++)
			if (l->sig[k].off == l->sig[i].off) {
				different++;
				sessions += l->sig[k].sessions;
			}
		if (sessions < l->sessions || different >= fewest)
			continue;
		fewest = different;
		o->sig_off = l->sig[i].off;
		o->nsig = 0;
		for (size_t k = 0; k < l->nsigs; k++)
			if (l->sig[k].off == o->sig_off)
				o->sig[o->nsig++] = l->sig[k].rel;
	}
	return fewest <= OFFSETS_SIGS;
}

static bool nearer(const struct field_place *a, const struct field_place *b)
{
	if (a->depth != b->depth)
		return !b->depth || a->depth < b->depth;
	return a->off[a->depth - 1] < b->off[b->depth - 1];
}

bool learner_result(const struct learner *l, struct offsets *out)
{
	memset(out, 0, sizeof(*out));
	for (int f = 0; f < SESSION_FIELDS; f++)
		for (size_t i = 0; i < l->field[f].n; i++)
			if (nearer(&l->field[f].p[i], &out->place[f]))
				out->place[f] = l->field[f].p[i];
	const struct field_place *p = out->place;
	bool v13 = p[FIELD_CLIENT_APP].depth && p[FIELD_SERVER_APP].depth;
	bool v12 = p[FIELD_MASTER].depth && p[FIELD_CLIENT_RANDOM].depth && p[FIELD_SERVER_RANDOM].depth;
	return pick_sig(l, out) && (v13 || v12) && offsets_valid(out);
}

/* A secret has no pattern: at most a few equal bytes. */
static bool looks_random(const uint8_t *p, size_t n)
{
	unsigned count[256] = {0}, most = 0;
	for (size_t i = 0; i < n; i++)
		if (++count[p[i]] > most)
			most = count[p[i]];
	return most <= n / 4;
}

static bool read_secret(const struct offsets *o, const struct mem_view *v, uint64_t addr, int f, uint8_t *out, size_t n)
{
	size_t sure = n > 32 && f <= FIELD_SERVER_APP ? 32 : n; /* 48 of a traffic secret may be more than there is */
	if (!read_place(v, addr, &o->place[f], out, n) && (sure == n || !read_place(v, addr, &o->place[f], out, sure)))
		return false;
	return looks_random(out, sure);
}

bool offsets_read(const struct offsets *o, const struct mem_view *v, uint64_t addr, uint64_t lib_base,
                  struct read_session *out)
{
	uint64_t w;
	bool known = false;
	memset(out, 0, sizeof(*out));
	out->addr = addr;
	if (v->read(v->ctx, addr + o->sig_off, &w, sizeof(w)) != sizeof(w))
		return false;
	for (uint32_t i = 0; i < o->nsig; i++)
		known |= w == lib_base + o->sig[i];
	if (!known)
		return false;
	out->has_app = read_secret(o, v, addr, FIELD_CLIENT_APP, out->app[0], 48) &&
	               read_secret(o, v, addr, FIELD_SERVER_APP, out->app[1], 48);
	bool randoms = read_secret(o, v, addr, FIELD_CLIENT_RANDOM, out->client_random, 32) &&
	               read_secret(o, v, addr, FIELD_SERVER_RANDOM, out->server_random, 32);
	out->has_master = randoms && read_secret(o, v, addr, FIELD_MASTER, out->master, 48);
	out->has_seq = read_seq(v, addr, &o->place[FIELD_SEQ_IN], &out->seq[0]) &&
	               read_seq(v, addr, &o->place[FIELD_SEQ_OUT], &out->seq[1]);
	return out->has_app || out->has_master;
}

/* ---- text ---- */

static const char *const names[SESSION_FIELDS] = {
    "client_app", "server_app", "master", "client_random", "server_random", "seq_in", "seq_out",
};

bool offsets_format(const struct offsets *o, struct buf *out)
{
	bool ok = buf_adds(out, "snoopkit offsets 1\n");
	for (uint32_t i = 0; i < o->nsig && i < OFFSETS_SIGS; i++)
		ok &= buf_addf(out, "sig %u %llx\n", o->sig_off, (unsigned long long)o->sig[i]);
	for (int f = 0; f < SESSION_FIELDS; f++)
		if (o->place[f].depth)
			ok &= buf_addf(out, "%s %u %u %u %u\n", names[f], o->place[f].depth, o->place[f].big_endian,
			               o->place[f].off[0], o->place[f].off[1]);
	return ok;
}

static bool parse_line(const char *line, struct offsets *o)
{
	char name[16];
	unsigned v[4];
	unsigned long long rel;
	if (sscanf(line, "sig %u %llx", &v[0], &rel) == 2) {
		if (o->nsig == OFFSETS_SIGS || (o->nsig && o->sig_off != v[0]))
			return false;
		o->sig_off = v[0];
		o->sig[o->nsig++] = rel;
		return true;
	}
	if (sscanf(line, "%15s %u %u %u %u", name, &v[0], &v[1], &v[2], &v[3]) != 5 || v[0] < 1 || v[0] > 2 || v[1] > 1)
		return false;
	for (int f = 0; f < SESSION_FIELDS; f++)
		if (!strcmp(name, names[f])) {
			o->place[f] = (struct field_place){(uint8_t)v[0], (uint8_t)v[1], {0}, {v[2], v[3]}};
			return true;
		}
	return false;
}

bool offsets_parse(struct span text, struct offsets *out)
{
	bool first = true;
	memset(out, 0, sizeof(*out));
	while (text.n) {
		const uint8_t *end = memchr(text.p, '\n', text.n);
		char line[128];
		size_t n = end ? (size_t)(end - text.p) : text.n;
		if (!end || n >= sizeof(line) || memchr(text.p, 0, n))
			return false;
		memcpy(line, text.p, n);
		line[n] = 0;
		if (first ? strcmp(line, "snoopkit offsets 1") != 0 : !parse_line(line, out))
			return false;
		first = false;
		text = span_sub(text, n + 1, text.n);
	}
	return offsets_valid(out);
}
