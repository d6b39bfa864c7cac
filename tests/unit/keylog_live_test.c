/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keylog_live_test.c - the key-log probe on real servers that this test starts: each handshake's secrets arrive, with
 * the right client random, although nobody asked the server for a key log.
 *
 * Needs root and a kernel that takes the programs; else all is skipped.
 */
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "target/loader.h"
#include "target/maps.h"
#include "target/memory.h"
#include "tls/offsets.h"
#include "tlsrun.h"

#define MAX_SECRETS 1024

static struct loader *loader;
static struct ring_buffer *ring;
static struct ev_secret got[MAX_SECRETS];
static size_t ngot, got_size[MAX_SECRETS];

static int on_secret(void *ctx, void *data, size_t size)
{
	(void)ctx;
	if (ngot < MAX_SECRETS && size >= offsetof(struct ev_secret, object) && size <= sizeof(struct ev_secret)) {
		memset(&got[ngot], 0, sizeof(got[ngot]));
		got_size[ngot] = size;
		memcpy(&got[ngot++], data, size);
	}
	return 0;
}

struct sites {
	uint32_t pid;
	unsigned n;
	char how[160];
	ino_t seen[16];
	unsigned handle[16];
	unsigned nseen;
};

static void attach(void *ctx, const struct map_line *m)
{
	struct sites *s = ctx;
	struct plan p;
	struct stat st;
	struct err e = {0};
	char path[64];
	int fd = maps_open(s->pid, m);
	if (fd < 0 || fstat(fd, &st))
		return;
	for (unsigned i = 0; i < s->nseen; i++)
		if (s->seen[i] == st.st_ino) {
			close(fd);
			return;
		}
	if (!plan_resolve(fd, m->path, false, &p, &e) && p.key.prog[0] && s->nseen < 16) {
		struct plan_site site = {.offset = p.key.offset, .cookie = p.key.cookie};
		snprintf(site.prog, sizeof(site.prog), "%s", p.key.prog);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		s->handle[s->nseen] = loader_uprobes(loader, path, &site, 1, 0, &e);
		CHECK(s->handle[s->nseen] > 0);
		if (e.code)
			printf("# %s\n", e.text);
		s->seen[s->nseen++] = st.st_ino;
		s->n++;
		snprintf(s->how, sizeof(s->how), "%s", p.key.how);
	}
	close(fd);
}

/* Where a session object holds this client random; 0 not at all (the first field never is). */
static size_t place_in(const struct ev_secret *s, const uint8_t *random)
{
	const uint8_t *at = memmem(s->object, sizeof(s->object), random, 32);
	return at ? (size_t)(at - s->object) : 0;
}

/* Is this secret among what arrived, for its client random? *place: where in the session that was, 0 beside it. */
static bool arrived(const struct conn *c, const char *label, const uint8_t *secret, size_t *place)
{
	for (size_t i = 0; i < ngot; i++) {
		const struct ev_secret *s = &got[i];
		if (strcmp((const char *)s->label, label) || s->secret_len != c->secret_len ||
		    memcmp(s->secret, secret, c->secret_len))
			continue;
		if (s->flags & SECRET_RANDOM)
			return !memcmp(s->client_random, c->random, 32);
		size_t at = s->flags & SECRET_OBJECT ? place_in(s, c->random) : 0;
		bool same = at && (!*place || *place == at);
		*place = at;
		return same;
	}
	return false;
}

static void learn_live(const struct runtime *r, pid_t pid, const struct client *c, const char *image);

/* The mapped file that holds the library, where sessions are found again by pointers into it. */
static const char *image_of(const char *runtime)
{
	static const char *const images[][2] = {{"nginx", "/libssl.so"},   {"openssl1.1", "/libssl.so"},
	                                        {"asyncio", "/libssl.so"}, {"node", "/node"},
	                                        {"bun", "/bun"},           {"gnutls", "/libgnutls.so"}};
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
		if (!strcmp(runtime, images[i][0]))
			return images[i][1];
	return NULL;
}

static void run(const struct runtime *r, pid_t pid, int port, const char *version, const char *cipher)
{
	static struct client c;
	size_t place = 0;
	int complete = 0;
	ngot = 0;
	bool up = start_client(&c, port, version, cipher, r->conns);
	CHECK(up && c.n == r->conns);
	ring_buffer__consume(ring);
	for (int i = 0; i < c.n; i++) {
		const struct conn *o = &c.conn[i];
		complete += o->v13 ? arrived(o, "CLIENT_TRAFFIC_SECRET_0", o->secret[0], &place) &&
		                         arrived(o, "SERVER_TRAFFIC_SECRET_0", o->secret[1], &place)
		                   : arrived(o, "CLIENT_RANDOM", o->secret[0], &place);
	}
	printf("# %s %s %s: %d of %d connections, %zu secrets, client random %s %zu\n", r->name, version, cipher,
	       complete, r->conns, ngot, place ? "in the session at" : "with them", place);
	CHECK(complete == r->conns);
	if (strstr(cipher, "CHACHA20") && !strcmp(version, "1.3") && image_of(r->name))
		learn_live(r, pid, &c, image_of(r->name));
	stop_client(&c);
}

/* ---- learning from handshakes that the probe saw, for those that it did not see ---- */

static size_t target_memory(void *ctx, uint64_t addr, void *buf, size_t n)
{
	return memory_at(ctx, addr, buf, n);
}

struct image {
	const char *name;
	uint64_t start, end;
};

static bool image_line(void *ctx, const struct map_line *m)
{
	struct image *i = ctx;
	if (m->ino && strstr(m->path, i->name)) {
		i->start = i->start ? i->start : m->start;
		i->end = m->end;
	}
	return true;
}

/* The session address that the probe gave for a connection; 0 none. */
static uint64_t session_of(const struct conn *c)
{
	for (size_t i = 0; i < ngot; i++)
		if (got[i].secret_len == c->secret_len && !memcmp(got[i].secret, c->secret[0], c->secret_len))
			return got[i].session;
	return 0;
}

/* From the first three connections of this client: where the secrets of all sixteen are. */
static void learn_live(const struct runtime *r, pid_t pid, const struct client *c, const char *image)
{
	struct err e = {0};
	struct memory *mem = memory_open((uint32_t)pid, &e);
	const struct mem_view view = {target_memory, mem};
	struct learner *l = learner_new();
	struct image lib = {image, 0, 0};
	struct offsets o;
	struct read_session s;
	int found = 0;
	maps_walk((uint32_t)pid, image_line, &lib);
	for (int i = 0; i < 3 && i < c->n; i++) {
		const struct conn *p = &c->conn[i];
		struct known_session k = {.addr = session_of(p), .lib_start = lib.start, .lib_end = lib.end};
		k.value[FIELD_CLIENT_APP] = span_of(p->secret[0], p->secret_len);
		k.value[FIELD_SERVER_APP] = span_of(p->secret[1], p->secret_len);
		k.value[FIELD_CLIENT_RANDOM] = span_of(p->random, 32);
		CHECK(k.addr && learner_add(l, &view, &k));
	}
	bool ok = learner_result(l, &o);
	for (int i = 0; ok && i < c->n; i++)
		found += offsets_read(&o, &view, session_of(&c->conn[i]), lib.start, &s) && s.has_app &&
		         !memcmp(s.app[0], c->conn[i].secret[0], c->conn[i].secret_len) &&
		         !memcmp(s.app[1], c->conn[i].secret[1], c->conn[i].secret_len);
	printf("# %s: learnt live: %d of %d sessions\n", r->name, found, c->n);
	CHECK(found == c->n);
	learner_free(l);
	memory_close(mem);
}

static void each(const struct runtime *r, pid_t pid, int port)
{
	struct sites s = {.pid = (uint32_t)pid};
	if (!strcmp(r->name, "java") || !strcmp(r->name, "deno")) {
		printf("# %s has no key-log function that is known: its memory serves\n", r->name);
		return;
	}
	maps_each(s.pid, attach, &s);
	printf("# %s: %u sites, %s\n", r->name, s.n, s.how);
	CHECK(s.n >= 1);
	CHECK(!loader_target_add(loader, s.pid));
	run(r, pid, port, "1.3", "TLS_AES_128_GCM_SHA256");
	run(r, pid, port, "1.3", "TLS_CHACHA20_POLY1305_SHA256");
	run(r, pid, port, "1.2", "ECDHE-RSA-AES256-GCM-SHA384");
	run(r, pid, port, "1.2", "ECDHE-RSA-CHACHA20-POLY1305");
	for (unsigned i = 0; i < s.nseen; i++)
		loader_uprobes_detach(loader, s.handle[i]);
}

static bool load(void)
{
	static struct loader_cfg cfg = {.ring_bytes = 1 << 20, .cgroup_fd = -1};
	struct loader_shared shared;
	struct err e = {0};
	static uint8_t elf[4 << 20];
	FILE *f = fopen("build/bpf/httpsnoop.bpf.o", "re");
	if (!f)
		return false;
	cfg.elf = elf;
	cfg.elf_size = fread(elf, 1, sizeof(elf), f);
	fclose(f);
	cfg.bpf.filters = FILTER_PID;
	cfg.bpf.self_tgid = (__u32)getpid();
	loader = geteuid() ? NULL : loader_open(&cfg, &e);
	if (!loader || loader_shared(loader, &shared, &e)) {
		printf("# %s\n", e.text);
		return false;
	}
	ring = ring_buffer__new(shared.secrets_ring_fd, on_secret, NULL, NULL);
	loader_on(loader, ON);
	return ring != NULL;
}

int main(int argc, char **argv)
{
	if (!load()) {
		printf("1..0 # SKIP needs root and a kernel that takes the BPF programs\n");
		return 0;
	}
	int rc = each_runtime(argc, argv, each);
	ring_buffer__free(ring);
	loader_close(loader);
	return rc;
}
