/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch.c - looks at the mappings of traced processes again, soon after exec and then ever more seldom.
 *
 * The kernel tells about exec and, where tracefs is mounted, about mmap; this catches libraries that appear
 * without such a notice.
 */
#include "core/broker.h"

#define FIRST_S 0.002
#define LAST_S  2.0

void watch_add(struct broker *b, uint32_t pid)
{
	struct watch *w = NULL;

	for (size_t i = 0; i < b->nwatch && !w; i++)
		if (b->watch[i].pid == pid)
			w = &b->watch[i];
	if (!w) {
		if (b->nwatch == WATCH_MAX)
			return; /* later libraries of this one are found by mmap notices only */
		w = &b->watch[b->nwatch++];
	}
	*w = (struct watch){.pid = pid, .next_s = now_s() + FIRST_S, .step_s = FIRST_S};
}

void watch_del(struct broker *b, uint32_t pid)
{
	for (size_t i = 0; i < b->nwatch; i++)
		if (b->watch[i].pid == pid) {
			b->watch[i] = b->watch[--b->nwatch];
			return;
		}
}

void watch_tick(struct broker *b, double now)
{
	/* Many processes are visited less often, so that the scans stay a small share of one core. */
	double longest = LAST_S * (1 + (double)b->nwatch / 64);

	for (size_t i = 0; i < b->nwatch;) {
		struct watch *w = &b->watch[i];
		if (w->next_s > now) {
			i++;
			continue;
		}
		int fresh = scan_process(b, w->pid, false);
		if (fresh < 0) {
			*w = b->watch[--b->nwatch];
			continue;
		}
		tell_late(w->pid, fresh);
		w->step_s *= 2;
		if (w->step_s > longest)
			w->step_s = longest;
		w->next_s = now + w->step_s;
		i++;
	}
}

int watch_next_ms(const struct broker *b, double now)
{
	double next = now + 1;

	for (size_t i = 0; i < b->nwatch; i++)
		if (b->watch[i].next_s < next)
			next = b->watch[i].next_s;
	return next <= now ? 0 : (int)((next - now) * 1e3) + 1;
}
