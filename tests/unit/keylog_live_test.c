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
	if (!plan_resolve(fd, m->path, &p, &e) && p.key.prog[0] && s->nseen < 16) {
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

static void run(const struct runtime *r, int port, const char *version, const char *cipher)
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
	stop_client(&c);
}

static void each(const struct runtime *r, pid_t pid, int port)
{
	struct sites s = {.pid = (uint32_t)pid};
	if (!strcmp(r->name, "java")) {
		printf("# java keeps its secrets to itself: its memory serves\n");
		return;
	}
	maps_each(s.pid, attach, &s);
	printf("# %s: %u sites, %s\n", r->name, s.n, s.how);
	CHECK(s.n >= 1);
	CHECK(!loader_target_add(loader, s.pid));
	run(r, port, "1.3", "TLS_AES_128_GCM_SHA256");
	run(r, port, "1.3", "TLS_CHACHA20_POLY1305_SHA256");
	run(r, port, "1.2", "ECDHE-RSA-AES256-GCM-SHA384");
	run(r, port, "1.2", "ECDHE-RSA-CHACHA20-POLY1305");
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
