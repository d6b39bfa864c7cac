/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox_test.c - what the decoding process may do once it is confined, and what kills it: each in a child of its own.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/sandbox.h"
#include "tap.h"
#include "tls/cipher.h"

static struct cipher_env *env;

/* Runs fn confined in a child. Its exit status, or minus the signal that killed it. */
static int confined(int (*fn)(void))
{
	int st;
	pid_t pid = fork();

	if (pid == 0) {
		struct err e = {0};
		alarm(10);
		_exit(sandbox_enter(&e) < 0 ? 99 : fn());
	}
	return waitpid(pid, &st, 0) != pid ? 98 : WIFSIGNALED(st) ? -WTERMSIG(st) : WEXITSTATUS(st);
}

static int opens(void)
{
	return open("/dev/null", O_RDONLY) < 0 ? 1 : 2;
}
static int connects(void)
{
	return socket(AF_INET, SOCK_STREAM, 0) < 0 ? 1 : 2;
}
static int runs(void)
{
	char *argv[] = {"/bin/true", NULL};
	return execv(argv[0], argv);
}
static int forks(void)
{
	return (int)syscall(SYS_fork);
}
static int kills_others(void)
{
	return kill(getppid(), 0);
}
static int signals_others(void)
{
	return (int)syscall(SYS_tgkill, 1, 1, 0);
}
static int reads_others(void)
{
	return (int)syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0);
}
static int makes_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}
static int types_on_terminal(void)
{
	return ioctl(0, TIOCSTI, "x");
}
static int uses_bpf(void)
{
	return (int)syscall(SYS_bpf, 0, NULL, 0);
}
static int is_32_bit(void)
{
	long r;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory"); /* getpid of i386 */
	return (int)r & 1;
}

TEST(forbidden)
{
	int (*const fn[])(void) = {opens,        connects,          runs,          forks,
	                           kills_others, reads_others,      makes_code,    uses_bpf,
	                           is_32_bit,    types_on_terminal, signals_others};
	for (size_t i = 0; i < sizeof(fn) / sizeof(*fn); i++) {
		int got = confined(fn[i]);
		if (got != -SIGSYS)
			printf("# %zu: %d\n", i, got);
		CHECK(got == -SIGSYS);
	}
}

static int works(void)
{
	struct pollfd p = {.fd = -1};
	struct tm tm;
	struct timespec ts;
	time_t now = time(NULL);

	char *big = malloc(32 << 20);
	if (!big)
		return 1;
	memset(big, 1, 32 << 20);
	big = realloc(big, 64 << 20);
	free(big);
	if (!localtime_r(&now, &tm) || clock_gettime(CLOCK_MONOTONIC, &ts) || poll(&p, 1, 1))
		return 2;
	isatty(1);
	return write(1, "", 0) == 0 && printf("# confined\n") > 0 && !fflush(stdout) ? 0 : 3;
}

/* Decryption, where libcrypto was used before. */
static int decrypts(void)
{
	static const uint8_t secret[32] = {1};
	const struct suite *s = suite_find(0x1301); /* TLS_AES_128_GCM_SHA256 */
	struct tls_keys k = {0};
	uint8_t rec[64] = {23, 3, 3, 0, 32}, out[64], type;
	size_t n;

	if (!s || !keys_from_traffic(&k, s, secret))
		return 1;
	cipher_open(env, &k, 0, span_of(rec, 37), out, &n, &type);
	cipher_stream(env, &k, 0, NULL, 0, span_of(rec, 37), out);
	return 0;
}

static int aborts(void)
{
	abort();
}

TEST(allowed)
{
	env = cipher_env_new(4);
	CHECK(env != NULL);
	CHECK(confined(decrypts) == 0);
	cipher_env_free(env);
	CHECK(confined(works) == 0);
	CHECK(confined(aborts) == -SIGABRT); /* and not SIGSYS: what happened stays visible */
}

/* Threads that were there before are confined, too. */
static pthread_mutex_t go = PTHREAD_MUTEX_INITIALIZER;

static void *late_opener(void *arg)
{
	pthread_mutex_lock(&go);
	opens();
	return arg;
}

TEST(all_threads)
{
	int st;
	pid_t pid = fork();

	if (pid == 0) {
		struct err e = {0};
		pthread_t t;
		alarm(10);
		pthread_mutex_lock(&go);
		if (pthread_create(&t, NULL, late_opener, NULL) || sandbox_enter(&e) < 0)
			_exit(99);
		pthread_mutex_unlock(&go);
		pthread_join(t, NULL);
		_exit(0);
	}
	CHECK(waitpid(pid, &st, 0) == pid && WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS);
}

int main(void)
{
	if (strcmp(sandbox_build(), "seccomp") != 0) {
		printf("ok 1 - sandbox # skip built without libseccomp\n1..1\n");
		return 0;
	}
	RUN(forbidden);
	RUN(allowed);
	RUN(all_threads);
	return tap_done();
}
