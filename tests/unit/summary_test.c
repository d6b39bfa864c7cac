/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * summary_test.c - the kernel's counters: added up over CPUs, and what of them makes a run lossy.
 */
#include <stdlib.h>

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

int main(void)
{
	RUN(sum_over_cpus);
	RUN(what_is_loss);
	return tap_done();
}
