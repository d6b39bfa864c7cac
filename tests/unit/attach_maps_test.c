/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * attach_maps_test.c - from this process's own mappings to attached files, with a loader and a resolver that only
 * write down what they are asked: names must not steer, identity must.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "target/attach.h"
#include "target/loader.h"
#include "target/maps.h"
#include "tls/tls.h"

/* ---- the loader, replaced: its object in the library is not linked ---- */
static struct {
	struct stat st;
	char prog[24];
	uint64_t off;
	unsigned handle;
	uint32_t pid;
	bool live;
} link_of[1024];
static int nlinks, fail_at = -1;

/* All or none, as the real one. */
unsigned loader_uprobes(struct loader *l, const char *path, const struct plan_site *site, unsigned n, __u32 pid,
                        struct err *e)
{
	static unsigned handles;
	int from = nlinks;

	(void)l;
	handles++;
	for (unsigned i = 0; i < n; i++) {
		if (nlinks == 1024 || nlinks == fail_at || stat(path, &link_of[nlinks].st)) {
			err_set(e, EXIT_RUNTIME, "refused for the test");
			nlinks = from;
			return 0;
		}
		snprintf(link_of[nlinks].prog, sizeof(link_of[nlinks].prog), "%s", site[i].prog);
		link_of[nlinks].off = site[i].offset;
		link_of[nlinks].handle = handles;
		link_of[nlinks].pid = pid;
		link_of[nlinks++].live = true;
	}
	return handles;
}

bool loader_has_cookies(const struct loader *l)
{
	(void)l;
	return true;
}

void loader_uprobes_detach(struct loader *l, unsigned handle)
{
	(void)l;
	for (int i = 0; i < nlinks; i++)
		if (handle == link_of[i].handle)
			link_of[i].live = false;
}

static int live(void)
{
	int n = 0;
	for (int i = 0; i < nlinks; i++)
		n += link_of[i].live;
	return n;
}

/* ---- the resolver: a file is TLS when it starts with our magic ---- */
static int resolved;

static int resolve(void *ctx, int fd, const char *path, struct plan *out, struct err *e)
{
	char b[16] = "";
	(void)ctx;
	(void)path;
	resolved++;
	memset(out, 0, sizeof(*out));
	if (pread(fd, b, sizeof(b) - 1, 0) < 0 || !strncmp(b, "BROKEN", 6))
		return err_set(e, EXIT_RUNTIME, "malformed for the test");
	if (!strncmp(b, "TLSHOOK", 7)) {
		out->lib = TLS_OPENSSL;
		out->nsites = 2;
		memcpy(out->site[0].prog, "in", 3);
		memcpy(out->site[1].prog, "out", 4);
		memcpy(out->how, "both ways", 10);
	} else if (!strncmp(b, "TLSPART", 7)) {
		out->nsites = 1;
		memcpy(out->site[0].prog, "late", 5);
		out->site[0].late = 1;
	} else if (!strncmp(b, "TLSNOT", 6)) {
		out->lib = TLS_GO;
		memcpy(out->why, "Go for the test", 16);
	}
	return 0;
}

static char dir[] = "/tmp/attach_test.XXXXXX";

/* A file of that name in dir, mapped executable; fd kept open. */
struct mapped {
	char path[256];
	void *p;
	struct stat st;
};

static struct mapped map_file(const char *name, const char *text)
{
	struct mapped m = {0};
	snprintf(m.path, sizeof(m.path), "%s/%s", dir, name);
	int fd = open(m.path, O_CREAT | O_EXCL | O_RDWR, 0644);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && !ftruncate(fd, 4096));
	fstat(fd, &m.st);
	m.p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	CHECK(m.p != MAP_FAILED);
	close(fd);
	return m;
}

static void unmap(struct mapped *m)
{
	munmap(m->p, 4096);
	unlink(m->path);
}

static bool hooked(const struct stat *st)
{
	for (int i = 0; i < nlinks; i++)
		if (link_of[i].live && link_of[i].st.st_ino == st->st_ino && link_of[i].st.st_dev == st->st_dev)
			return true;
	return false;
}

static struct coverage cov[16];
static int ncov;

static void cover(void *ctx, const struct coverage *c)
{
	(void)ctx;
	if (ncov < 16)
		cov[ncov++] = *c;
}

static const struct coverage *coverage_of(struct attacher *a, const char *file)
{
	ncov = 0;
	attacher_coverage(a, (uint32_t)getpid(), cover, NULL);
	for (int i = 0; i < ncov; i++)
		if (strstr(cov[i].file, file))
			return &cov[i];
	return NULL;
}

static struct attacher *fresh(void)
{
	const struct attacher_cfg cfg = {.calls = true, .resolve = resolve};
	nlinks = 0;
	fail_at = -1;
	resolved = 0;
	return attacher_new(&cfg);
}

static int scan(struct attacher *a)
{
	return attacher_scan(a, (uint32_t)getpid());
}

TEST(parse_lines)
{
	struct map_line m;
	CHECK(maps_parse(
	    "7f0000001000-7f0000002000 r-xp 00003000 fe:01 1234                       /usr/lib/libssl.so.3", &m));
	CHECK(m.start == 0x7f0000001000 && m.end == 0x7f0000002000 && m.exec && m.off == 0x3000 && m.major == 0xfe &&
	      m.minor == 1 && m.ino == 1234);
	CHECK_STR(m.path, "/usr/lib/libssl.so.3");
	CHECK(maps_parse("1000-2000 rw-p 00000000 00:00 0", &m) && !m.exec && m.ino == 0 && !*m.path);
	CHECK(maps_parse("1000-2000 rw-p 00000000 00:00 0 ", &m) && !*m.path);
	CHECK(maps_parse("1000-2000 r-xp 0 00:00 7      /tmp/libssl.so.3 X\\012 (deleted)", &m));
	CHECK_STR(m.path, "/tmp/libssl.so.3 X\\012 (deleted)");
	static const char *const bad[] = {"",
	                                  "1000",
	                                  "1000-2000",
	                                  "1000-2000 r-x",
	                                  "2000-1000 r-xp 0 0:0 0",
	                                  "-1-2000 r-xp 0 0:0 0",
	                                  "1000- 2000 r-xp 0 0:0 0",
	                                  "1000-2000 r-xp 0 0:0 z",
	                                  "1000-2000 r-xp 0 00 0",
	                                  "1ffffffffffffffff-2ffffffffffffffff r-xp 0 0:0 0",
	                                  "x000-2000 r-xp 0 0:0 0"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(!maps_parse(bad[i], &m));
}

TEST(names_do_not_steer)
{
	struct attacher *a = fresh();
	struct mapped strange = map_file("libssl.so.3 X\n(deleted)\x1b[2J", "TLSHOOK");
	struct mapped fake = map_file("libssl.so.3", "plain");
	struct mapped gone = map_file("other (deleted)", "TLSHOOK");
	/* Another file now stands where the mapped one was. */
	struct mapped old = map_file("upgraded.so", "TLSHOOK");
	unlink(old.path);
	int fd = open(old.path, O_CREAT | O_EXCL | O_RDWR, 0644);
	struct stat new_st;
	fstat(fd, &new_st);
	CHECK(write(fd, "TLSHOOK2", 8) == 8);
	close(fd);
	unlink(gone.path);
	/* Without privilege only the path is left: what it does not lead to is reported, never guessed. */
	bool root = geteuid() == 0;
	int n = scan(a);
	const struct coverage *c = coverage_of(a, "libssl.so.3 X");
	if (root) {
		CHECK(n == 3);
		CHECK(hooked(&strange.st) && hooked(&gone.st) && hooked(&old.st));
		CHECK(c && c->covered && !strcmp(c->lib, "openssl") && !strcmp(c->how, "both ways"));
		CHECK(c && !strchr(c->file, '\x1b') && !strchr(c->file, '\n'));
	} else {
		CHECK(n == 0 && nlinks == 0);
		CHECK(ncov == 1 && !cov[0].covered && strstr(cov[0].how, "3 mapped files not examined"));
	}
	CHECK(!hooked(&fake.st) && !hooked(&new_st));
	attacher_free(a);
	CHECK(live() == 0);
	unmap(&strange);
	unmap(&fake);
	unmap(&gone);
	unmap(&old);
}

TEST(once_per_file)
{
	struct attacher *a = fresh();
	struct mapped m = map_file("once", "TLSHOOK");
	int fd = open(m.path, O_RDONLY);
	void *again = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	close(fd);
	CHECK(scan(a) == 1);
	CHECK(live() == 2);
	int before = resolved;
	CHECK(scan(a) == 0); /* nothing new: nothing resolved */
	CHECK(resolved == before);
	/* Later dlopen: only the new file is looked at. */
	struct mapped late = map_file("late", "TLSHOOK");
	CHECK(scan(a) == 1 && resolved == before + 1 && hooked(&late.st));
	/* Another process with the same files costs nothing. */
	pid_t pid = fork();
	if (!pid)
		for (;;)
			pause();
	CHECK(attacher_scan(a, (uint32_t)pid) == 0 && resolved == before + 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	CHECK(attacher_scan(a, (uint32_t)pid) == -1);
	munmap(again, 4096);
	unmap(&m);
	unmap(&late);
	/* Unmapped: it is not this process's any more. */
	scan(a);
	CHECK(!coverage_of(a, "once"));
	attacher_free(a);
}

TEST(rewritten_file_is_new)
{
	struct attacher *a = fresh();
	struct mapped m = map_file("rewritten", "plain");
	CHECK(scan(a) == 0);
	munmap(m.p, 4096);
	int fd = open(m.path, O_RDWR);
	CHECK(write(fd, "TLSHOOK", 7) == 7 && !ftruncate(fd, 8192));
	m.p = mmap(NULL, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	close(fd);
	CHECK(scan(a) == 1);
	munmap(m.p, 8192);
	unlink(m.path);
	attacher_free(a);
}

TEST(beside_the_c_library)
{
	struct attacher *a = fresh();
	struct mapped later = map_file("libssl.so.3", "TLSHOOK"), libc = map_file("libc.so.6", "plain");
	munmap(later.p, 4096); /* not loaded yet */
	CHECK(scan(a) == 1 && hooked(&later.st));
	CHECK(!coverage_of(a, "libssl.so.3"));
	int before = resolved;
	CHECK(scan(a) == 0 && resolved == before);
	unlink(later.path);
	unmap(&libc);
	attacher_free(a);
}

TEST(reasons)
{
	struct attacher *a = fresh();
	CHECK(scan(a) == 0);
	ncov = 0;
	attacher_coverage(a, (uint32_t)getpid(), cover, NULL);
	CHECK(ncov == 1 && cov[0].covered && !cov[0].lib);
	CHECK_STR(cov[0].how, "no TLS library mapped: plaintext only");
	struct mapped go = map_file("gobinary", "TLSNOT"), broken = map_file("broken", "BROKEN");
	CHECK(scan(a) == 0);
	const struct coverage *c = coverage_of(a, "gobinary");
	CHECK(c && !c->covered && !strcmp(c->lib, "go") && !strcmp(c->how, "Go for the test"));
	CHECK(ncov == 2 && !cov[1].covered &&
	      strstr(cov[1].how, "1 mapped files not examined: malformed for the test"));
	unmap(&go);
	unmap(&broken);
	CHECK(scan(a) == 0);
	ncov = 0;
	attacher_coverage(a, (uint32_t)getpid(), cover, NULL);
	CHECK(ncov == 1 && cov[0].covered);
	attacher_forget(a, (uint32_t)getpid());
	ncov = 0;
	attacher_coverage(a, (uint32_t)getpid(), cover, NULL);
	CHECK(ncov == 0);
	attacher_free(a);
}

TEST(all_or_nothing)
{
	struct attacher *a = fresh();
	struct mapped m = map_file("half", "TLSHOOK");
	fail_at = 1;
	CHECK(scan(a) == 0);
	CHECK(live() == 0);
	const struct coverage *c = coverage_of(a, "half");
	CHECK(c && !c->covered && !strcmp(c->how, "cannot attach: refused for the test"));
	unmap(&m);
	attacher_free(a);
}

TEST(no_descriptors_kept)
{
	struct attacher *a = fresh();
	struct mapped m = map_file("fds", "TLSHOOK");
	int before = dup(0);
	close(before);
	scan(a);
	int after = dup(0);
	close(after);
	CHECK(before == after);
	unmap(&m);
	attacher_free(a);
}

TEST(gone_process)
{
	struct attacher *a = fresh();
	CHECK(attacher_scan(a, 0x3fffffff) == -1);
	attacher_free(a);
	attacher_free(NULL);
}

/* Beyond the bound nothing is hooked, and that is counted. */
TEST(too_many_files)
{
	static struct mapped m[300];
	struct attacher *a = fresh();
	for (int i = 0; i < 300; i++) {
		char name[32];
		snprintf(name, sizeof(name), "lib%d.so", i);
		m[i] = map_file(name, "TLSHOOK");
	}
	CHECK(scan(a) == 256 && attacher_unhooked(a) == 300 - 256);
	CHECK(scan(a) == 0 && attacher_unhooked(a) == 300 - 256);
	attacher_free(a);
	for (int i = 0; i < 300; i++)
		unmap(&m[i]);
}

/* What is dear is attached when it is asked for, in that process, and gone with it; --coverage does not speak of it. */
TEST(late_sites)
{
	struct attacher *a = fresh();
	struct mapped part = map_file("libcrypto.so.3", "TLSPART"), whole = map_file("libssl.so.3", "TLSHOOK");
	uint32_t self = (uint32_t)getpid();
	CHECK(scan(a) == 1 && hooked(&whole.st) && !hooked(&part.st) && live() == 2);
	CHECK(attacher_late(a, self) == 1);
	CHECK(hooked(&part.st) && live() == 3 && link_of[2].pid == self && !strcmp(link_of[2].prog, "late"));
	CHECK(!link_of[0].pid && !link_of[1].pid);
	CHECK(coverage_of(a, "libssl.so.3") && !coverage_of(a, "libcrypto.so.3"));
	CHECK(attacher_late(a, 1) == 0);
	attacher_forget(a, self);
	CHECK(!hooked(&part.st) && live() == 2);
	CHECK(scan(a) == 0 && attacher_late(a, self) == 1 && live() == 3);
	attacher_free(a);
	CHECK(live() == 0);
	unmap(&part);
	unmap(&whole);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	RUN(parse_lines);
	RUN(names_do_not_steer);
	RUN(once_per_file);
	RUN(rewritten_file_is_new);
	RUN(beside_the_c_library);
	RUN(reasons);
	RUN(all_or_nothing);
	RUN(no_descriptors_kept);
	RUN(gone_process);
	RUN(late_sites);
	RUN(too_many_files);
	rmdir(dir);
	return tap_done();
}
