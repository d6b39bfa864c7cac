/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader_test.c - what the loader says when it cannot work. Needs no privilege; drops it where there is one.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "target/loader.h"

#define NOBODY 65534

TEST(without_privilege_it_names_the_remedy)
{
	int status = 0;
	pid_t child = fork();

	if (!child) {
		struct loader_cfg cfg = {.elf = "", .elf_size = 1, .cgroup_fd = -1};
		struct err e = {0};

		if (getuid() == 0 && (setgid(NOBODY) || setuid(NOBODY)))
			_exit(10);
		if (loader_open(&cfg, &e))
			_exit(11);
		_exit(e.code == EXIT_PRIVILEGE && strstr(e.text, "sudo") ? 0 : 12);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(shared_layouts_have_no_holes_that_differ)
{
	/* BPF and user space compile event.h apart: sizes and places are the contract. */
	CHECK(sizeof(struct ev_hdr) == 48);
	CHECK(sizeof(struct ev_addr) == 40);
	CHECK(__builtin_offsetof(struct ev_data, buf) == sizeof(struct ev_data));
	CHECK(sizeof(struct ctl_slot) == 40);
	CHECK(sizeof(struct bpf_stats) % 8 == 0);
}

int main(void)
{
	RUN(without_privilege_it_names_the_remedy);
	RUN(shared_layouts_have_no_holes_that_differ);
	return tap_done();
}
