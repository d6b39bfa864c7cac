/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sandbox.c - the system calls of the decoding process, and why it needs each (seccomp(2) through libseccomp).
 *
 * One list for live runs and -r. A feature that needs another call adds it here with its reason, or better gets along
 * without: files are opened before, or by the broker, which passes descriptors. It must not know what is decoded.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "core/sandbox.h"

#ifdef HAVE_SECCOMP
#include <seccomp.h>

/* Not in the list, on purpose: opening (openat, memfd_create), connecting (socket), starting (execve, clone), looking
 * at or signalling others (ptrace, process_vm_readv, kill), executable memory (below), bpf and perf_event_open. */
static const int allowed[] = {
    /* The rings and the broker: waiting, messages, and the ELF files that come as descriptors with them. */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvfrom),
    SCMP_SYS(getsockopt), /* what a packet socket has dropped */
    SCMP_SYS(sendmsg),
    SCMP_SYS(pread64),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    /* A capture, through stdio; output; closing both checks that it was written. */
    SCMP_SYS(read),
    SCMP_SYS(lseek),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    /* malloc: growing, shrinking, giving back (madvise also in libcrypto's secure memory); its arenas' number. */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(sched_getaffinity),
    /* qsort asks for the memory's size (glibc before 2.37). */
    SCMP_SYS(sysinfo),
    /* Keys are held in memory that is not swapped; libcrypto and malloc ask for randomness. */
    SCMP_SYS(mlock),
    SCMP_SYS(munlock),
    SCMP_SYS(getrandom),
    /* Threads: starting up (the resolver's start may overlap), locks, ending. */
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(futex),
    SCMP_SYS(sched_yield),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    /* The clock where the vDSO has none; the offline run's interrupted reads; its resource use for the summary. */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(getrusage),
    /* abort: says what failed rather than what was forbidden; the signal goes to this process only (below). */
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(rt_sigaction),
};

/* Calls that are allowed with some arguments only. */
static int add_conditions(scmp_filter_ctx ctx)
{
	const uint32_t yes = SCMP_ACT_ALLOW;
	int rc = 0;

	rc |= seccomp_rule_add(ctx, yes, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	rc |= seccomp_rule_add(ctx, yes, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	rc |= seccomp_rule_add(ctx, yes, SCMP_SYS(tgkill), 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	/* Is it a terminal, and how wide? */
	rc |= seccomp_rule_add(ctx, yes, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TCGETS));
	rc |= seccomp_rule_add(ctx, yes, SCMP_SYS(ioctl), 1, SCMP_A1(SCMP_CMP_EQ, TIOCGWINSZ));
	return rc;
}

static int load(scmp_filter_ctx ctx)
{
	int rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1); /* all threads */

	rc |= seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; !rc && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (allowed[i] >= 0) /* negative: not on this architecture, or newer than libseccomp */
			rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, allowed[i], 0);
	if (rc || add_conditions(ctx))
		return -EINVAL;
	return seccomp_load(ctx);
}

int sandbox_enter(struct err *e)
{
	scmp_filter_ctx ctx;
	int rc;

	tzset(); /* the zone's file, which localtime_r would read */
	ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	rc = ctx ? load(ctx) : -ENOMEM;
	seccomp_release(ctx);
	if (rc)
		return err_set(e, EXIT_RUNTIME, "no system call filter for the decoding process: %s", strerror(-rc));
	return 0;
}

const char *sandbox_build(void)
{
	return "seccomp";
}

#else

int sandbox_enter(struct err *e)
{
	(void)e;
	return 0; /* --version tells */
}

const char *sandbox_build(void)
{
	return "none (built without libseccomp)";
}
#endif
