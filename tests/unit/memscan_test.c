/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memscan_test.c - the memory of real servers that this test starts: each connection's keys are among the candidates,
 * they prove the connection's own records, and no candidate proves anything else.
 *
 * tests/live/prog/tlspeer is the client and says what the keys are. A runtime that is not installed is skipped by name.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "target/memscan.h"
#include "tls/cipher.h"
#include "tls/keyproof.h"

#define CONNS 16
#define RECS  3

static char dir[] = "/tmp/memscan_test.XXXXXX";

struct runtime {
	const char *name, *needs; /* a command that must exist */
	const char *server;       /* shell: $T is the directory with cert.pem, key.pem and keys.p12, $PORT the port */
	const char *prepare;
	int conns; /* that it serves at once */
};

static const struct runtime runtimes[] = {
    {"openssl", "openssl",
     "exec openssl s_server -accept 127.0.0.1:$PORT -cert $T/cert.pem -key $T/key.pem -rev -quiet 2>/dev/null", NULL,
     1},
    {"nginx", "nginx", "exec nginx -p $T -c nginx.conf",
     "{ echo 'daemon off; master_process off; pid nginx.pid; error_log stderr crit; events{} http { access_log off;'; "
     "echo "
     "\"server { listen 127.0.0.1:$PORT ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_protocols "
     "TLSv1.2 TLSv1.3; return 200 ok; } }\"; } >$T/nginx.conf",
     CONNS},
    {"python", "python3", "exec python3 tests/live/servers/echo.py $T/cert.pem $T/key.pem $PORT", NULL, CONNS},
    {"asyncio", "python3", "exec python3 tests/live/servers/echo.py $T/cert.pem $T/key.pem $PORT asyncio", NULL, CONNS},
    {"node", "node", "exec node tests/live/servers/echo.js $T/cert.pem $T/key.pem $PORT", NULL, CONNS},
    {"go", "go", "exec $T/echo_go $T/cert.pem $T/key.pem $PORT",
     "go build -ldflags='-s -w' -o $T/echo_go tests/live/servers/echo.go", CONNS},
    {"gnutls", "build/tests/prog/gnutlsd", "exec build/tests/prog/gnutlsd $T/cert.pem $T/key.pem $PORT NORMAL", NULL,
     CONNS},
    {"java", "java", "exec java tests/live/servers/Echo.java $T/keys.p12 secret $PORT", NULL, CONNS},
};

static int shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *fmt, ...)
{
	char cmd[2048];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd);
}

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bind(fd, (struct sockaddr *)&a, sizeof(a));
	getsockname(fd, (struct sockaddr *)&a, &n);
	close(fd);
	return ntohs(a.sin_port);
}

static bool answers(int port)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool ok = !connect(fd, (struct sockaddr *)&a, sizeof(a));
	close(fd);
	return ok;
}

static pid_t start_server(const struct runtime *r, int port)
{
	pid_t pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stdout))
			_exit(1);
		execl("/bin/sh", "sh", "-c", r->server, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 600 && !answers(port); i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return -1;
		usleep(50000);
	}
	return pid;
}

/* ---- the client and what it says ---- */

struct conn {
	struct tls_keys keys[2]; /* of the client, of the server */
	uint8_t *rec[2][RECS];
	size_t len[2][RECS], n[2];
	bool v13;
};

struct client {
	pid_t pid;
	int in;
	struct conn conn[CONNS];
	int n;
};

static size_t unhex(const char *s, uint8_t *out, size_t max)
{
	size_t n = 0;
	unsigned v;
	for (; n < max && sscanf(s + 2 * n, "%2x", &v) == 1 && s[2 * n] > ' '; n++)
		out[n] = (uint8_t)v;
	return n;
}

static void said(struct client *c, char *line)
{
	char *w[6] = {0}, *save = NULL;
	int k = 0;
	for (char *t = strtok_r(line, " \n", &save); t && k < 6; t = strtok_r(NULL, " \n", &save))
		w[k++] = t;
	int nr = k > 1 ? atoi(w[1]) : CONNS;
	if (nr >= CONNS || k < 4)
		return;
	struct conn *o = &c->conn[nr];
	if (w[0][0] == 'S' && k == 6) {
		const struct suite *s = suite_find((unsigned)strtoul(w[2], NULL, 16));
		uint8_t a[32], b[48], m[48];
		unhex(w[3], a, 32);
		unhex(w[4], b, 48);
		unhex(w[5], m, 48);
		o->v13 = s && suite_is_13(s);
		c->n++;
		if (o->v13)
			CHECK(keys_from_traffic(&o->keys[0], s, b) && keys_from_traffic(&o->keys[1], s, m));
		else
			CHECK(s && keys_from_master(&o->keys[0], s, m, a, b, false, false) &&
			      keys_from_master(&o->keys[1], s, m, a, b, true, false));
	} else if (w[0][0] == 'R') {
		int d = w[2][0] == 's';
		size_t n = strlen(w[3]) / 2;
		if (o->n[d] == RECS)
			return;
		uint8_t *rec = malloc(n);
		o->len[d][o->n[d]] = unhex(w[3], rec, n);
		o->rec[d][o->n[d]++] = rec;
	}
}

static bool start_client(struct client *c, int port, const char *version, const char *cipher, int conns)
{
	int in[2], out[2];
	char p[16], n[16], *line = NULL;
	size_t cap = 0;
	bool ready = false;
	memset(c, 0, sizeof(*c));
	if (pipe(in) || pipe(out))
		return false;
	snprintf(p, sizeof(p), "%d", port);
	snprintf(n, sizeof(n), "%d", conns);
	c->pid = fork();
	if (c->pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execl("build/tests/prog/tlspeer", "tlspeer", p, version, cipher, n, "3", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	c->in = in[1];
	FILE *f = fdopen(out[0], "r");
	while (f && getline(&line, &cap, f) > 0) {
		ready = !strcmp(line, "READY\n");
		if (ready)
			break;
		said(c, line);
	}
	free(line);
	if (f)
		fclose(f);
	return ready;
}

static void stop_client(struct client *c)
{
	close(c->in);
	waitpid(c->pid, NULL, 0);
	for (int i = 0; i < CONNS; i++)
		for (int d = 0; d < 2; d++)
			for (size_t k = 0; k < c->conn[i].n[d]; k++)
				free(c->conn[i].rec[d][k]);
}

/* ---- the scan ---- */

#define MAX_CANDS 4096

struct cand {
	uint8_t key[32], len;
	uint8_t *near;
	size_t nnear;
};

static struct cand cand[MAX_CANDS];
static size_t ncand;
static uint8_t *salts;
static size_t nsalts;
static struct memscan_msg done;

static void note(const struct memscan_msg *m)
{
	if (m->kind == MEMSCAN_SALTS) {
		salts = realloc(salts, nsalts + m->nnear);
		memcpy(salts + nsalts, m->near, m->nnear);
		nsalts += m->nnear;
	}
	if (m->kind != MEMSCAN_KEY)
		return;
	size_t i = 0;
	while (i < ncand && (cand[i].len != m->len || memcmp(cand[i].key, m->key, 32)))
		i++;
	if (i == MAX_CANDS)
		return;
	struct cand *c = &cand[i];
	ncand += i == ncand;
	memcpy(c->key, m->key, 32);
	c->len = m->len;
	c->near = realloc(c->near, c->nnear + m->nnear + 1);
	memcpy(c->near + c->nnear, m->near, m->nnear);
	c->nnear += m->nnear;
}

static bool scan(pid_t pid, bool v12)
{
	struct memscan_req r = {.pid = (uint32_t)pid, .salts = v12, .deep = v12};
	struct err e = {0};
	struct memscan_msg m;
	pid_t child;
	int rc;
	for (size_t i = 0; i < ncand; i++)
		free(cand[i].near);
	memset(cand, 0, sizeof(cand));
	memset(&done, 0, sizeof(done));
	ncand = nsalts = 0;
	int fd = memscan_start(&r, &child, &e);
	if (fd < 0) {
		printf("# %s\n", e.text);
		return false;
	}
	while ((rc = memscan_next(fd, &m)) >= 0) {
		struct pollfd p = {fd, POLLIN, 0};
		if (!rc)
			poll(&p, 1, 10000);
		else if (m.kind == MEMSCAN_DONE)
			done = m;
		else
			note(&m);
	}
	close(fd);
	int st;
	return waitpid(child, &st, 0) == child && WIFEXITED(st) && !WEXITSTATUS(st) && done.kind && !done.error;
}

static uint64_t be64(const uint8_t *p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v = v << 8 | p[i];
	return v;
}

static bool try_salts(const struct proof_12 *p, const uint8_t *s, size_t n, uint64_t *seq)
{
	for (size_t i = 0; i + 4 <= n; i += 4)
		if (proof_12_try(p, s + i, seq))
			return true;
	return false;
}

/* The sequence number that candidate c proves for a record; UINT64_MAX none. */
static uint64_t proves(const struct cand *c, const struct conn *o, int d, size_t k)
{
	struct span rec = span_of(o->rec[d][k], o->len[d][k]);
	struct proof_key key;
	struct proof_12 p;
	uint8_t nonce[12];
	uint64_t seq;
	proof_key_init(&key, c->key, c->len);
	if (o->v13) {
		if (!proof_13(&key, rec, nonce))
			return UINT64_MAX;
		return memcmp(nonce, o->keys[d].iv, 4) ? UINT64_MAX - 1 : be64(nonce + 4) ^ be64(o->keys[d].iv + 4);
	}
	if (!proof_12_begin(&p, &key, rec))
		return UINT64_MAX;
	return try_salts(&p, c->near, c->nnear, &seq) || try_salts(&p, salts, nsalts, &seq) ? seq : UINT64_MAX;
}

/* Each direction's key is there, proves that direction's records in a row, and no other candidate proves any. */
static void check_conn(const struct conn *o, unsigned *found, unsigned *proved)
{
	for (int d = 0; d < 2; d++) {
		size_t klen = suite_encs[o->keys[d].enc].key_len;
		for (size_t i = 0; i < ncand; i++) {
			bool right = cand[i].len == klen && !memcmp(cand[i].key, o->keys[d].key, klen);
			*found += right;
			unsigned in_row = 0;
			uint64_t last = 0;
			for (size_t k = 0; k < o->n[d] && (right || o->v13); k++) {
				uint64_t seq = proves(&cand[i], o, d, k);
				if (!right)
					CHECK(seq == UINT64_MAX);
				in_row += seq < 100 && (!k || seq == last + 1);
				last = seq;
			}
			*proved += right && o->n[d] >= 3 && in_row == o->n[d];
		}
	}
}

static void run(const struct runtime *r, pid_t pid, int port, const char *version, const char *cipher)
{
	const unsigned want = 2 * (unsigned)r->conns;
	static struct client c;
	unsigned found = 0, proved = 0;
	bool up = start_client(&c, port, version, cipher, r->conns), v12 = !strcmp(version, "1.2");
	CHECK(up && c.n == r->conns);
	if (up && scan(pid, v12))
		for (int i = 0; i < r->conns; i++)
			check_conn(&c.conn[i], &found, &proved);
	printf("# %s %s %s: %u of %u keys found, %u proved; %zu candidates, %zu salts, %.1f MB in %.1f ms\n", r->name,
	       version, cipher, found, want, proved, ncand, nsalts / 4, (double)done.bytes / 1e6,
	       (double)done.us / 1e3);
	CHECK(found >= want && proved >= want);
	stop_client(&c);
}

static void each(const struct runtime *r)
{
	char p[16];
	int port = free_port();
	snprintf(p, sizeof(p), "%d", port);
	setenv("PORT", p, 1);
	if (r->prepare && shell("exec >&2; %s", r->prepare)) {
		CHECK(!"prepared");
		return;
	}
	pid_t pid = start_server(r, port);
	CHECK(pid > 0);
	if (pid <= 0)
		return;
	run(r, pid, port, "1.3", "TLS_AES_128_GCM_SHA256");
	run(r, pid, port, "1.3", "TLS_AES_256_GCM_SHA384");
	run(r, pid, port, "1.2", "ECDHE-RSA-AES128-GCM-SHA256");
	run(r, pid, port, "1.2", "ECDHE-RSA-AES256-GCM-SHA384");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	setenv("T", dir, 1);
	if (shell("cd $T && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj "
	          "/CN=localhost 2>/dev/null && openssl pkcs12 -export -in cert.pem -inkey key.pem -out keys.p12 "
	          "-passout pass:secret"))
		return 1;
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		const struct runtime *r = &runtimes[i];
		if (argc > 1 && strcmp(argv[1], r->name))
			continue;
		if (shell("command -v %s >/dev/null", r->needs)) {
			printf("ok %d - %s # SKIP %s is not installed\n", ++tap_n, r->name, r->needs);
			continue;
		}
		tap_failed_now = 0;
		each(r);
		printf("%sok %d - %s\n", tap_failed_now ? "not " : "", ++tap_n, r->name);
		tap_bad += tap_failed_now != 0;
		fflush(stdout);
	}
	shell("rm -rf $T");
	return tap_done();
}
