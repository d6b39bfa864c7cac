/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * closure_test.c - the files that a command will load, compared with what the dynamic linker really maps.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "target/closure.h"
#include "target/target.h"

static char dir[] = "/tmp/closure_test.XXXXXX";

static struct {
	dev_t dev;
	ino_t ino;
} got[600];
static int ngot;

static void collect(void *ctx, int fd, const char *path)
{
	struct stat st;
	(void)ctx;
	(void)path;
	if (!fstat(fd, &st) && ngot < 600) {
		got[ngot].dev = st.st_dev;
		got[ngot++].ino = st.st_ino;
	}
}

static const char *later[] = {NULL, NULL};

static int walk(const char *path)
{
	ngot = 0;
	int n = closure_walk(path, later, collect, NULL);
	CHECK(n == ngot);
	return n;
}

static int times(const char *path)
{
	struct stat st;
	int n = 0;
	for (int i = 0; !stat(path, &st) && i < ngot; i++)
		n += got[i].dev == st.st_dev && got[i].ino == st.st_ino;
	return n;
}

static int run(const char *text)
{
	char *argv[] = {"sh", "-ec", (char *)(uintptr_t)text, "sh", dir, NULL};
	struct cmd c;
	int st = -1;
	if (cmd_hold(argv, &c, NULL) || cmd_release(&c, NULL))
		return -1;
	return waitpid(c.pid, &st, 0) == c.pid ? st : -1;
}

static void sh(const char *text)
{
	char cmd[2048];
	snprintf(cmd, sizeof(cmd), "cd \"$1\" && %s", text);
	CHECK(!run(cmd));
}

static const char *in_dir(const char *name)
{
	static char path[4][PATH_MAX];
	static int i;
	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

/* All that is mapped executable here was in the closure of our executable. */
TEST(own_closure)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[PATH_MAX + 128];
	int files = 0;
	CHECK(walk("/proc/self/exe") > 1);
	while (f && fgets(line, sizeof(line), f)) {
		char *path = strchr(line, '/');
		if (!strstr(line, " r-xp ") || !path || strstr(path, "/ld-linux") || strstr(path, "/libvgpreload") ||
		    strstr(path, "/ld-2"))
			continue;
		path[strcspn(path, "\n")] = 0;
		if (times(path) != 1)
			printf("# %s\n", path);
		CHECK(times(path) == 1);
		files++;
	}
	CHECK(files >= 2);
	fclose(f);
}

TEST(runpath_and_origin)
{
	sh("mkdir -p sub env && echo 'int y(void){return 1;}' > y.c && echo 'int y(void);int x(void){return y();}' > "
	   "x.c && "
	   "echo 'int x(void);int main(void){return !x();}' > m.c && echo 'int e(void){return 1;}' > e.c && "
	   "cc -shared -fPIC -o sub/liby.so y.c && cc -shared -fPIC -o env/libe.so e.c && "
	   "cc -shared -fPIC -o libx.so x.c -Lsub -ly -Wl,--enable-new-dtags,-rpath,'$ORIGIN/sub' && "
	   "cc -o m m.c -L. -lx -Lenv -Wl,--no-as-needed -le -Wl,-rpath,'${ORIGIN}' -Wl,--allow-shlib-undefined");
	walk(in_dir("m"));
	CHECK(times(in_dir("m")) == 1 && times(in_dir("libx.so")) == 1 && times(in_dir("sub/liby.so")) == 1);
	CHECK(times(in_dir("env/libe.so")) == 0);
	setenv("LD_LIBRARY_PATH", in_dir("env"), 1);
	walk(in_dir("m"));
	CHECK(times(in_dir("env/libe.so")) == 1);
	unsetenv("LD_LIBRARY_PATH");
	setenv("LD_PRELOAD", in_dir("sub/liby.so"), 1);
	walk(in_dir("libx.so"));
	CHECK(times(in_dir("sub/liby.so")) == 1);
	unsetenv("LD_PRELOAD");
	/* A file of that name that is not ours does not end the search. */
	sh("echo text > libe.so && mkdir libc.so.6 && cp env/libe.so sub/ && mkfifo sub/libc.so.6");
	char both[PATH_MAX];
	snprintf(both, sizeof(both), "%s:%s/sub", dir, dir);
	setenv("LD_LIBRARY_PATH", both, 1);
	walk(in_dir("m"));
	CHECK(times(in_dir("sub/libe.so")) == 1 && times(in_dir("libe.so")) == 0);
	unsetenv("LD_LIBRARY_PATH");
}

TEST(scripts)
{
	sh("printf '#!%s/m -x\\n' $PWD > a && printf '#! /usr/bin/env -S A=b sh\\n' > b && printf '#!%s/c\\n' $PWD > c "
	   "&& chmod +x a b c");
	char real[PATH_MAX];
	walk(in_dir("a"));
	CHECK(times(in_dir("m")) == 1 && times(in_dir("libx.so")) == 1 && times(in_dir("a")) == 0);
	walk(in_dir("b"));
	CHECK(cmd_path("sh", real, sizeof(real)) && times(real) == 1);
	CHECK(times("/usr/bin/env") == 1);
	CHECK(walk(in_dir("c")) == 0); /* its own interpreter: ends */
}

TEST(loaded_later)
{
	sh("cp sub/liby.so sub/liblater.so && { cc -static -o s m.c x.c y.c || rm -f s; }");
	later[0] = "liblater.so";
	char sub[PATH_MAX];
	snprintf(sub, sizeof(sub), "%s/sub2", dir);
	sh("mkdir sub2 && mv sub/liblater.so sub2/");
	setenv("LD_LIBRARY_PATH", sub, 1);
	walk(in_dir("m"));
	CHECK(times(in_dir("sub2/liblater.so")) == 1);
	walk(in_dir("s")); /* a static executable cannot */
	CHECK(times(in_dir("sub2/liblater.so")) == 0);
	unsetenv("LD_LIBRARY_PATH");
	later[0] = NULL;
}

TEST(nothing_there)
{
	CHECK(walk(in_dir("absent")) == 0);
	CHECK(walk("") == 0);
	CHECK(walk(dir) == 0);
}

int main(void)
{
	if (!mkdtemp(dir))
		return 1;
	RUN(own_closure);
	RUN(runpath_and_origin);
	RUN(scripts);
	RUN(loaded_later);
	RUN(nothing_there);
	return run("rm -rf \"$1\"") | tap_done();
}
