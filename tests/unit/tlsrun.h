/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tlsrun.h - TLS servers of many runtimes and a client that tells its secrets, for tests of secret sources.
 *
 * A runtime is one line in `runtimes`. Everything is on the loopback, on free ports, and ended by its pid.
 */
#ifndef SNOOP_TLSRUN_H
#define SNOOP_TLSRUN_H

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sh.h"
#include "tap.h"
#include "tls/cipher.h"
#include "tls/keylog.h"

#define CONNS 16
#define RECS  3

static char dir[] = "/tmp/tlsrun.XXXXXX";

struct runtime {
	const char *name, *needs; /* a command that must exist */
	const char *server;       /* shell: $T is the directory with cert.pem, key.pem and keys.p12, $PORT the port */
	const char *prepare;
	int conns;   /* that it serves at once */
	bool libssl; /* OpenSSL as a shared library that ours can load */
};

static const struct runtime runtimes[] = {
    {"openssl", "openssl",
     "exec openssl s_server -accept 127.0.0.1:$PORT -cert $T/cert.pem -key $T/key.pem -rev -quiet 2>/dev/null", NULL, 1,
     true},
    {"openssl1.1", "build/tests/prog/ossld build/cache/libssl/1.1/libssl.so.1.1",
     "exec build/tests/prog/ossld build/cache/libssl/1.1/libcrypto.so.1.1 build/cache/libssl/1.1/libssl.so.1.1 "
     "$T/cert.pem $T/key.pem $PORT",
     NULL, CONNS, true},
    {"nginx", "nginx", "exec nginx -p $T -c nginx.conf",
     "{ echo 'daemon off; master_process off; pid nginx.pid; error_log stderr crit; events{} http { access_log off;'; "
     "echo "
     "\"server { listen 127.0.0.1:$PORT ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem; ssl_protocols "
     "TLSv1.2 TLSv1.3; return 200 ok; } }\"; } >$T/nginx.conf",
     CONNS, true},
    {"python", "python3", "exec python3 tests/live/servers/echo.py $T/cert.pem $T/key.pem $PORT", NULL, CONNS, true},
    {"asyncio", "python3", "exec python3 tests/live/servers/echo.py $T/cert.pem $T/key.pem $PORT asyncio", NULL, CONNS,
     true},
    {"node", "node", "exec node tests/live/servers/echo.js $T/cert.pem $T/key.pem $PORT", NULL, CONNS},
    {"bun", "build/cache/runtimes/bun",
     "exec build/cache/runtimes/bun tests/live/servers/echo.js $T/cert.pem $T/key.pem $PORT", NULL, CONNS},
    {"deno", "build/cache/runtimes/deno",
     "exec build/cache/runtimes/deno run -A tests/live/servers/echo_deno.js $T/cert.pem $T/key.pem $PORT", NULL, CONNS},
    {"go", "go", "exec $T/echo_go $T/cert.pem $T/key.pem $PORT",
     "go build -ldflags='-s -w' -o $T/echo_go tests/live/servers/echo.go", CONNS},
    {"gnutls", "build/tests/prog/gnutlsd", "exec build/tests/prog/gnutlsd $T/cert.pem $T/key.pem $PORT NORMAL", NULL,
     CONNS},
    {"java", "java", "exec java tests/live/servers/Echo.java $T/keys.p12 secret $PORT", NULL, CONNS},
};

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
	char p[16];
	snprintf(p, sizeof(p), "%d", port);
	setenv("PORT", p, 1);
	if (r->prepare && sh("%s", r->prepare))
		return -1;
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
	uint8_t random[32], secret[2][48]; /* traffic secrets; TLS 1.2: the master secret is the first */
	uint8_t secret_len;
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
	int nr = k > 1 ? (int)strtol(w[1], NULL, 10) : CONNS;
	if (nr >= CONNS || k < 4)
		return;
	struct conn *o = &c->conn[nr];
	if (w[0][0] == 'S' && k == 6) {
		const struct suite *s = suite_find((unsigned)strtoul(w[2], NULL, 16));
		uint8_t a[32], b[48], m[48];
		unhex(w[3], a, 32);
		unhex(w[4], b, 48);
		o->secret_len = (uint8_t)unhex(w[5], m, 48);
		o->v13 = s && suite_is_13(s);
		memcpy(o->random, a, 32);
		memcpy(o->secret[0], o->v13 ? b : m, 48);
		memcpy(o->secret[1], m, 48);
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

/* Starts each runtime (or those named on the command line) in turn for fn; one TAP line each. */
static int each_runtime(int argc, char **argv, void (*fn)(const struct runtime *r, pid_t pid, int port))
{
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return 1;
	setenv("T", dir, 1);
	/* What a test may have that the machine has not; without a network those are skipped. */
	sh("timeout 90 sh tests/tools/fetch-libssl.sh >/dev/null 2>&1; timeout 300 sh tests/tools/fetch-runtimes.sh "
	   ">/dev/null "
	   "2>&1");
	if (sh("cd $T && openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj "
	       "/CN=localhost 2>/dev/null && openssl pkcs12 -export -in cert.pem -inkey key.pem -out keys.p12 "
	       "-passout pass:secret"))
		return 1;
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		const struct runtime *r = &runtimes[i];
		bool asked = argc < 2;
		for (int k = 1; k < argc; k++)
			asked |= !strcmp(argv[k], r->name);
		if (!asked)
			continue;
		if (sh("for f in %s; do command -v $f >/dev/null || [ -e $f ] || exit 1; done", r->needs)) {
			printf("ok %d - %s # SKIP needs %s\n", ++tap_n, r->name, r->needs);
			continue;
		}
		tap_failed_now = 0;
		int port = free_port();
		pid_t pid = start_server(r, port);
		CHECK(pid > 0);
		if (pid > 0) {
			fn(r, pid, port);
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		printf("%sok %d - %s\n", tap_failed_now ? "not " : "", ++tap_n, r->name);
		tap_bad += tap_failed_now != 0;
		fflush(stdout);
	}
	sh("rm -rf $T");
	return tap_done();
}

#endif
