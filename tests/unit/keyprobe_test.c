/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * keyprobe_test.c - the key-log function in real files: the one that the symbols name, also when they are gone.
 *
 * What the probe then delivers is tested by keylog_live_test.
 */
#include <fcntl.h>
#include <linux/types.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf/elf.h"
#include "event.h"
#include "sh.h"
#include "tap.h"
#include "tls/keyprobe.h"
#include "tls/sites.h"

#define LIBS  "/usr/lib/x86_64-linux-gnu/"
#define CACHE "build/cache/libssl/"

static char dir[] = "/tmp/keyprobe_test.XXXXXX";

static struct elf *open_elf(const char *path, int *fd)
{
	struct err e = {0};
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf *elf = *fd < 0 ? NULL : elf_open(*fd, &e);
	if (!elf && *fd >= 0)
		close(*fd);
	return elf;
}

static bool find(const char *path, struct plan_key *k)
{
	int fd;
	struct elf *elf = open_elf(path, &fd);
	CHECK(elf != NULL);
	bool ok = elf && keyprobe_find(elf, k);
	elf_close(elf);
	close(fd);
	return ok;
}

/* File offset of a function by its symbol; 0 none. */
static uint64_t symbol(const char *path, const char *name)
{
	struct elf_sym s = {0};
	int fd;
	struct elf *elf = open_elf(path, &fd);
	if (!elf)
		return 0;
	elf_func(elf, name, &s);
	elf_close(elf);
	close(fd);
	return s.off;
}

/* A copy with every `from` replaced by `to` of the same length (symbol names), and, if asked, without section headers.
 */
static bool copy(const char *path, const char *to_path, const char *from, const char *to, bool no_sections)
{
	struct stat st;
	int in = open(path, O_RDONLY | O_CLOEXEC), out;
	uint8_t *p = in >= 0 && !fstat(in, &st) ? malloc((size_t)st.st_size) : NULL;
	bool ok = p && read(in, p, (size_t)st.st_size) == st.st_size;
	close(in);
	for (uint8_t *at = p; ok && from && (at = memmem(at, (size_t)(p + st.st_size - at), from, strlen(from)));)
		memcpy(at, to, strlen(to));
	if (ok && no_sections) {
		memset(p + 0x28, 0, 8); /* e_shoff */
		memset(p + 0x3a, 0, 6); /* e_shentsize, e_shnum, e_shstrndx */
	}
	out = open(to_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	ok = ok && write(out, p, (size_t)st.st_size) == st.st_size;
	close(out);
	free(p);
	return ok;
}

/* A shared library without symbols of it: found, at an instruction that the kernel emulates, with the client random. */
static void library(const char *path, unsigned random)
{
	struct plan_key k;
	int fd;
	if (access(path, R_OK)) {
		printf("# %s is not there\n", path);
		return;
	}
	bool ok = find(path, &k);
	CHECK(ok && !strcmp(k.prog, "keylog_c"));
	printf("# %s: %s\n", path, k.how);
	CHECK((k.cookie >> KEY_COOKIE_RANDOM & 3) == random);
	CHECK(k.cookie & KEY_COOKIE_SET && strstr(k.how, "emulated") && strstr(k.how, "cross-reference"));
	/* Without section headers the same. */
	char to[64];
	struct plan_key n;
	snprintf(to, sizeof(to), "%s/lib", dir);
	CHECK(copy(path, to, NULL, NULL, true) && find(to, &n) && n.offset == k.offset && n.cookie == k.cookie);
	struct elf *elf = open_elf(path, &fd);
	uint64_t off = 0;
	CHECK(elf && elf_addr_to_off(elf, 0, &off));
	elf_close(elf);
	close(fd);
}

TEST(openssl_libraries)
{
	library(LIBS "libssl.so.3", KEY_RANDOM_REG);
	library(CACHE "3.5/libssl.so.3", KEY_RANDOM_REG);
	library(CACHE "1.1/libssl.so.1.1", KEY_RANDOM_FAR);
}

TEST(gnutls)
{
	library(LIBS "libgnutls.so.30", KEY_RANDOM_NONE);
}

/* Node's own OpenSSL has symbols: with them renamed, the cross-references lead to the same function. */
TEST(static_openssl_without_symbols)
{
	const char *node = "/usr/bin/node";
	char to[64];
	struct plan_key k, n;
	uint64_t truth = symbol(node, "ssl_log_secret");
	if (!truth) {
		printf("# no node with symbols of OpenSSL\n");
		return;
	}
	CHECK(find(node, &k) && k.entry == truth && strstr(k.how, "symbol"));
	snprintf(to, sizeof(to), "%s/node", dir);
	CHECK(copy(node, to, "ssl_log_secret", "xsl_log_xecret", false) && !symbol(to, "ssl_log_secret"));
	CHECK(find(to, &n) && n.entry == truth && n.offset == k.offset && n.cookie == k.cookie);
	CHECK(strstr(n.how, "cross-reference"));
	unlink(to);
}

/* gRPC's Python package and Bun have a stripped BoringSSL in them. */
TEST(static_boringssl)
{
	static const char *const files[] = {"build/cache/runtimes/cygrpc.so", "build/cache/runtimes/bun"};
	struct plan_key k;
	for (int i = 0; i < 2; i++) {
		if (access(files[i], R_OK)) {
			printf("# no %s: tests/tools/fetch-runtimes.sh fetches it\n", files[i]);
			continue;
		}
		CHECK(find(files[i], &k) && !strcmp(k.prog, "keylog_c") && strstr(k.how, "emulated"));
		printf("# %s: %s\n", files[i], k.how);
	}
}

static const char writekeylog[] = "crypto/tls.(*Config).writeKeyLog";

static void go_program(const char *how)
{
	char a[64], b[64], c[64], cmd[512];
	struct plan_key k;
	snprintf(a, sizeof(a), "%s/go", dir);
	snprintf(b, sizeof(b), "%s/go_bare", dir);
	snprintf(c, sizeof(c), "%s/go_sw", dir);
	snprintf(cmd, sizeof(cmd),
	         "cd tests/live/servers && %s go build %s -o %s echo.go >&2 && %s go build -ldflags='-s -w' %s -o %s "
	         "echo.go",
	         strstr(how, "GO") ? how : "", strstr(how, "GO") ? "" : how, a, strstr(how, "GO") ? how : "",
	         strstr(how, "GO") ? "" : how, c);
	if (sh("command -v go >/dev/null") || sh("%s", cmd)) {
		printf("# no Go that builds (%s)\n", how);
		return;
	}
	uint64_t truth = symbol(a, writekeylog);
	CHECK(truth && find(a, &k) && k.entry == truth && k.offset > truth && k.offset < truth + 24);
	printf("# %s: %s\n", how, k.how);
	/* without symbols, then without section headers as well */
	CHECK(find(c, &k) && k.entry == truth && !symbol(c, writekeylog));
	CHECK(copy(c, b, NULL, NULL, true) && find(b, &k) && k.entry == truth && !strcmp(k.prog, "keylog_go"));
}

TEST(go_programs)
{
	go_program("");
	go_program("-buildmode=pie");
	/* Older toolchains, where they are in the module cache. */
	go_program("GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=go1.21.13");
	go_program("GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=go1.23.4");
	go_program("GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=go1.27.3");
}

/* Files that read key logs, or have nothing of the kind. */
TEST(no_key_log_function)
{
	static const char *const none[] = {"/lib/x86_64-linux-gnu/libc.so.6", LIBS "libwireshark.so.16",
	                                   LIBS "libcurl.so.4", LIBS "libcrypto.so.3", "/bin/sh"};
	struct plan_key k;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		if (!access(none[i], R_OK))
			CHECK(!find(none[i], &k) && !k.prog[0]);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	RUN(openssl_libraries);
	RUN(gnutls);
	RUN(static_openssl_without_symbols);
	RUN(static_boringssl);
	RUN(go_programs);
	RUN(no_key_log_function);
	return sh("rm -rf %s", dir) || tap_done();
}
