/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loader_attach.c - loaded programs onto their hooks, and off again.
 *
 * It must not know which programs there are but by the table. Nothing is pinned: everything is gone when the
 * descriptors are, also after SIGKILL.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target/loader_int.h"
#include "target/loader_kernel.h"

/* Keeps a link and what is behind it, or a bare link's descriptor pfd. NULL with e when there is neither. */
static struct probe *keep_probe(struct loader *l, struct bpf_link *link, int pfd, const char *what, struct err *e)
{
	struct probe *p = link || pfd >= 0 ? calloc(1, sizeof(*p)) : NULL;

	if (!p) {
		err_set(e, errno == EPERM || errno == EACCES ? EXIT_PRIVILEGE : EXIT_RUNTIME, "cannot attach to %s: %s",
		        what, strerror(errno));
		if (link)
			bpf_link__destroy(link);
		else if (pfd >= 0)
			close(pfd);
		return NULL;
	}
	p->link = link;
	p->pfd = pfd;
	p->next = l->probes;
	l->probes = p;
	return p;
}

static struct probe *attach_perf(struct loader *l, const struct bpf_program *prog, struct perf_event_attr *attr,
                                 __u64 cookie, const char *what, struct err *e)
{
	LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = l->cookies ? cookie : 0);
	struct bpf_link *link;
	int pfd;

	attr->size = sizeof(*attr);
	pfd = (int)syscall(SYS_perf_event_open, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	link = pfd < 0 ? NULL : bpf_program__attach_perf_event_opts(prog, pfd, &opts);
	if (!link && pfd >= 0) {
		int why = errno;

		close(pfd);
		errno = why;
		pfd = -1;
	}
	return keep_probe(l, link, pfd, what, e);
}

/* system NULL: name is "SYSTEM/EVENT". */
static struct probe *attach_trace(struct loader *l, const struct bpf_program *prog, const char *system,
                                  const char *name, struct err *e)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .sample_period = 1};
	int id = kernel_trace_id(system, name, e);

	if (id < 0)
		return NULL;
	attr.config = (__u64)id;
	return attach_perf(l, prog, &attr, 0, name, e);
}

/* Hooks of the rung in use that wait for `late` (0: for nothing). 0, or -1 with e. */
static int attach_hooks(struct loader *l, __u32 late, struct err *e)
{
	for (const struct hook *h = loader_hooks; h->prog; h++) {
		struct bpf_program *prog = bpf_object__find_program_by_name(l->obj, loader_hook_prog(l, h));
		struct probe *p;

		if (!prog || !bpf_program__autoload(prog) || !loader_hook_in_rung(h, l->rung) || h->late != late)
			continue;
		if (l->records && h->rec_prog)
			p = attach_trace(l, prog, NULL, h->rec_name, h->optional ? NULL : e);
		else if (h->at == AT_RAW)
			p = keep_probe(l, bpf_program__attach_raw_tracepoint(prog, h->name), -1, h->name,
			               h->optional ? NULL : e);
		else
			p = attach_trace(l, prog, "syscalls", h->name, h->optional ? NULL : e);
		if (!p && !h->optional)
			return -1;
		if (p && !strcmp(h->prog, "proc_mmap"))
			l->sees_mmap = true;
		if (p && !strcmp(h->prog, "win_accept"))
			l->sees_accept = true;
	}
	return 0;
}

/* For objects that want to know who accepts. */
static const char *accept_words(const struct loader *l)
{
	if (!bpf_object__find_program_by_name(l->obj, "win_accept"))
		return "";
	return l->sees_accept ? "; accept: seen" : "; accept: not seen, the listener is named";
}

int loader_attach(struct loader *l, struct err *e)
{
	if (attach_hooks(l, 0, e) < 0)
		return -1;
	loader_note_inodes(bpf_object__find_map_fd_by_name(l->obj, "ino_refs"));
	if (bpf_object__find_program_by_name(l->obj, "proc_mmap"))
		snprintf(l->rungs, sizeof(l->rungs), "payload: %s%s; mmap: %s", l->rung, l->records ? " (records)" : "",
		         l->sees_mmap ? "vm_unmapped_area" : "not seen");
	else
		snprintf(l->rungs, sizeof(l->rungs), "tracepoints%s%s", accept_words(l),
		         l->direct_reads ? "" : "; reads by helper");
	return 0;
}

void loader_attach_late(struct loader *l, __u32 what)
{
	if (l->late_done & 1U << what)
		return;
	l->late_done |= 1U << what;
	attach_hooks(l, what, NULL);
}

bool loader_has_cookies(const struct loader *l)
{
	return l->cookies;
}

const char *loader_rungs(const struct loader *l)
{
	return l->rungs;
}

/* All sites of one program, from site at on, by one link, in one process (pid 0: in all). */
static int attach_multi(struct loader *l, const struct bpf_program *prog, const char *path,
                        const struct plan_site *site, unsigned at, unsigned n, __u32 pid, struct err *e)
{
	__u64 offsets[PLAN_MAX_SITES], cookies[PLAN_MAX_SITES];
	__u32 cnt = 0;
	int fd;

	for (unsigned i = at; i < n; i++)
		if (!strcmp(site[i].prog, site[at].prog) && site[i].ret == site[at].ret) {
			cookies[cnt] = site[i].cookie;
			offsets[cnt++] = site[i].offset;
		}
	fd = loader_link_multi(bpf_program__fd(prog), path, offsets, cookies, cnt, site[at].ret, pid);
	return keep_probe(l, NULL, fd, path, e) ? 0 : -1;
}

static int attach_uprobe(struct loader *l, const struct bpf_program *prog, const char *path,
                         const struct plan_site *site, struct err *e)
{
	struct perf_event_attr attr = {.config = site->ret ? 1 : 0, .config2 = site->offset};
	int type = kernel_uprobe_type();

	if (type < 0)
		return err_set(e, EXIT_RUNTIME, "the kernel has no uprobes (CONFIG_UPROBE_EVENTS)");
	attr.type = (__u32)type;
	attr.config1 = (__u64)(unsigned long)path;
	return attach_perf(l, prog, &attr, site->cookie, path, e) ? 0 : -1;
}

/* Was the program of site at, with the same ret, attached with an earlier one? */
static bool had_before(const struct plan_site *site, unsigned at)
{
	for (unsigned i = 0; i < at; i++)
		if (!strcmp(site[i].prog, site[at].prog) && site[i].ret == site[at].ret)
			return true;
	return false;
}

unsigned loader_uprobes(struct loader *l, const char *path, const struct plan_site *site, unsigned n, __u32 pid,
                        struct err *e)
{
	struct probe *before = l->probes;
	unsigned group = ++l->groups;
	int rc = 0;

	for (unsigned i = 0; i < n && i < PLAN_MAX_SITES && !rc; i++) {
		const struct bpf_program *prog = bpf_object__find_program_by_name(l->obj, site[i].prog);

		if (!prog || bpf_program__fd(prog) < 0)
			rc = err_set(e, EXIT_RUNTIME, "there is no program %s", site[i].prog);
		else if (!l->multi)
			rc = attach_uprobe(l, prog, path, &site[i], e);
		else if (!had_before(site, i))
			rc = attach_multi(l, prog, path, site, i, n, pid, e);
	}
	for (struct probe *p = l->probes; p != before; p = p->next)
		p->group = group;
	if (!rc)
		return group;
	loader_uprobes_detach(l, group);
	return 0;
}

/* Ends a probe that is in no list any more. */
static void probe_end(struct probe *p)
{
	if (p->link)
		bpf_link__destroy(p->link); /* closes the perf event, too */
	else
		close(p->pfd);
	free(p);
}

#define MAX_ENDERS 64

static void *end_one(void *probe)
{
	probe_end(probe);
	return NULL;
}

/*
 * Ends all probes of a group (0: all). The kernel waits for a grace period or two as each link is closed; side by side
 * they share them.
 */
static void end_probes(struct loader *l, unsigned group)
{
	pthread_t thread[MAX_ENDERS];
	unsigned n = 0;

	for (struct probe **at = &l->probes, *p = *at; p; p = *at) {
		if (group && p->group != group) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		if (n == MAX_ENDERS)
			while (n)
				pthread_join(thread[--n], NULL);
		if (pthread_create(&thread[n], NULL, end_one, p))
			probe_end(p);
		else
			n++;
	}
	while (n)
		pthread_join(thread[--n], NULL);
}

void loader_uprobes_detach(struct loader *l, unsigned handle)
{
	if (handle)
		end_probes(l, handle);
}

/* A copy of a map's descriptor, and its number: to be restored after the object was closed. */
static int keep_fd(struct bpf_object *obj, const char *map, int *number)
{
	*number = bpf_object__find_map_fd_by_name(obj, map);
	return *number < 0 ? -1 : fcntl(*number, F_DUPFD_CLOEXEC, 3);
}

static void restore_fd(int copy, int number)
{
	if (copy < 0)
		return;
	dup3(copy, number, O_CLOEXEC);
	close(copy);
}

/*
 * The broker goes on with the same kernel objects: only descriptors may be closed. Destroying a perf link would
 * disable its event for both, so those are closed behind libbpf's back.
 */
void loader_forget(struct loader *l)
{
	int data, small, secrets, copy[3];

	while (l->probes) {
		struct probe *p = l->probes;
		int fd = p->link ? bpf_link__fd(p->link) : -1;

		l->probes = p->next;
		if (fd >= 0)
			close(fd);
		if (p->pfd >= 0 && p->pfd != fd)
			close(p->pfd);
		if (p->link) {
			bpf_link__disconnect(p->link);
			bpf_link__destroy(p->link);
		}
		free(p);
	}
	if (!l->obj)
		return;
	copy[0] = keep_fd(l->obj, "data", &data);
	copy[1] = keep_fd(l->obj, "small", &small);
	copy[2] = keep_fd(l->obj, "secrets", &secrets);
	bpf_object__close(l->obj);
	l->obj = NULL;
	restore_fd(copy[0], data);
	restore_fd(copy[1], small);
	restore_fd(copy[2], secrets);
}

static void set_on(struct loader *l, __u32 on)
{
	struct bpf_map *m;
	__u32 zero = 0;

	if (!l || !l->obj)
		return;
	bpf_object__for_each_map(m, l->obj) if (strstr(bpf_map__name(m), ".data.on") &&
	                                        bpf_map__value_size(m) == sizeof(on))
	    bpf_map_update_elem(bpf_map__fd(m), &zero, &on, BPF_ANY);
}

void loader_on(struct loader *l, enum bpf_on how)
{
	set_on(l, how);
}

void loader_off(struct loader *l)
{
	set_on(l, ON_NOT);
}

void loader_detach(struct loader *l)
{
	if (l)
		end_probes(l, 0);
}
