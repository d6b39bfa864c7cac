/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * summary_test.c - the kernel's counters: added up over CPUs, and what of them makes a run lossy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "core/run.h"
#include "tap.h"

TEST(sum_over_cpus)
{
	struct bpf_stats *percpu = calloc(STAT_CPUS, sizeof(*percpu)), sum;
	percpu[0].events = 1;
	percpu[STAT_CPUS - 1].events = 2;
	percpu[3].lost_bytes = 7;
	bpf_stats_sum(percpu, &sum);
	CHECK(sum.events == 3 && sum.lost_bytes == 7 && sum.faults == 0);
	bpf_stats_sum(NULL, &sum);
	CHECK(sum.events == 0);
	free(percpu);
}

TEST(what_is_loss)
{
	struct bpf_stats none = {.events = 5, .bytes = 100, .faults = 1, .skipped_bytes = 9, .uring_nocopy = 3};
	struct bpf_stats ring = {.lost_events = 1}, notice = {.lost_small = 1}, hit = {.passed_over = 1};
	CHECK(!bpf_stats_lost(&none));
	CHECK(bpf_stats_lost(&ring));
	CHECK(bpf_stats_lost(&notice));
	CHECK(bpf_stats_lost(&hit)); /* of whom it was is not known */
}

/* What -q leaves on stderr at the end of a run with these counters. */
static size_t quiet_line(const struct bpf_stats *bs, uint32_t unhooked, char *out, size_t size)
{
	static const struct tool tool = {.hint_unit = "exchange"};
	struct ipc_shared *sh = calloc(1, sizeof(*sh));
	struct run r = {.tool = &tool, .sh = sh};
	int saved = dup(STDERR_FILENO);
	FILE *f = tmpfile();

	sh->unhooked = unhooked;
	dup2(fileno(f), STDERR_FILENO);
	log_init("tool", 1, 0);
	summary_print(&r, bs, 1, 0.1, 1000);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(f);
	size_t n = fread(out, 1, size - 1, f);
	out[n] = 0;
	fclose(f);
	free(sh);
	return n;
}

TEST(quiet_keeps_what_was_lost)
{
	struct bpf_stats none = {.events = 5}, ring = {.lost_events = 1}, bytes = {.lost_bytes = 9},
	                 hit = {.passed_over = 3};
	char s[2048];

	CHECK(!quiet_line(&none, 0, s, sizeof(s)));
	CHECK(quiet_line(&ring, 0, s, sizeof(s)) && strstr(s, "lost 1 events"));
	CHECK(quiet_line(&bytes, 0, s, sizeof(s)) && strstr(s, "9 bytes"));
	/* --strict ends with status 4 for these: without a line nobody would know why. */
	CHECK(quiet_line(&hit, 0, s, sizeof(s)) && strstr(s, "3 probe hits passed over"));
	CHECK(quiet_line(&none, 7, s, sizeof(s)) && strstr(s, "7 mapped TLS files not hooked"));
}

int main(void)
{
	RUN(sum_over_cpus);
	RUN(what_is_loss);
	RUN(quiet_keeps_what_was_lost);
	return tap_done();
}
