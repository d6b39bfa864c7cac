/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader_multi.c - uprobe_multi links (Linux 6.6+) by the bare system call, which libbpf 1.1 does not wrap: all places
 * of one program in a file in one link, closed at once. It must not know which programs there are.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "target/loader_int.h"

#define MULTI_RETURN 1 /* BPF_F_UPROBE_MULTI_RETURN */

/* union bpf_attr's link_create.uprobe_multi, up to its last member in 6.6. */
struct link_multi {
	__u32 prog_fd, target_fd, attach_type, flags;
	__u64 path, offsets, ref_ctr_offsets, cookies;
	__u32 cnt, multi_flags, pid, pad;
};

int loader_link_multi(int prog_fd, const char *path, const __u64 *offsets, const __u64 *cookies, __u32 cnt, bool ret,
                      __u32 pid)
{
	struct link_multi a = {
	    .prog_fd = (__u32)prog_fd,
	    .attach_type = ATTACH_UPROBE_MULTI,
	    .path = (__u64)(unsigned long)path,
	    .offsets = (__u64)(unsigned long)offsets,
	    .cookies = (__u64)(unsigned long)cookies,
	    .cnt = cnt,
	    .multi_flags = ret ? MULTI_RETURN : 0,
	    .pid = pid,
	};

	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &a, sizeof(a));
}

bool loader_has_multi(void)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = (enum bpf_attach_type)ATTACH_UPROBE_MULTI);
	static const struct bpf_insn nothing[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	__u64 offset = 0;
	int prog, link, why;

	prog = bpf_prog_load(BPF_PROG_TYPE_KPROBE, NULL, "GPL", nothing, 2, &opts);
	if (prog < 0)
		return false;
	/* A directory: the kernel that knows the call objects to just that. */
	link = loader_link_multi(prog, "/", &offset, NULL, 1, false, 0);
	why = errno;
	if (link >= 0)
		close(link);
	close(prog);
	return link < 0 && why == EBADF;
}
