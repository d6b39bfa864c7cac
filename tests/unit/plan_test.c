/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plan_test.c - probe sites in real libraries: the internal functions found must be what all exported variants call.
 *
 * OpenSSL 3.0 or newer is the system's; 1.1.1 and 3.5 are fetched by tests/tools/fetch-libssl.sh when a network is
 * there.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elf/elf.h"
#include "tap.h"
#include "target/target.h"
#include "tls/pair.h"
#include "tls/plan.h"
#include "tls/sites.h"
#include "tls/tls.h"

#define CACHE "build/cache/libssl"

static const char *const system_libssl[] = {"/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib64/libssl.so.3",
                                            "/lib/x86_64-linux-gnu/libssl.so.3", NULL};

static const struct plan_site *site(const struct plan *p, const char *prog)
{
	for (uint32_t i = 0; i < p->nsites; i++)
		if (!strcmp(p->site[i].prog, prog))
			return &p->site[i];
	return NULL;
}

static bool resolve(const char *path, struct plan *p)
{
	struct err e = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && !plan_resolve(fd, path, false, p, &e);
	CHECK(ok);
	close(fd);
	return ok;
}

/* Does the function contain the bytes of a direct call or jump to the file offset to? (text is mapped at one distance)
 */
static bool calls(const struct elf *elf, const char *name, uint64_t to)
{
	struct elf_sym s;
	if (!elf_func(elf, name, &s))
		return false;
	struct span b = elf_bytes(elf, s.addr, s.size);
	for (size_t i = 0; i + 5 <= b.n; i++) {
		int32_t rel;
		memcpy(&rel, b.p + i + 1, 4);
		if ((b.p[i] == 0xe8 || b.p[i] == 0xe9) && s.off + i + 5 + (uint64_t)(int64_t)rel == to)
			return true;
	}
	return false;
}

static void check_rest(const struct elf *elf, const struct plan *p)
{
	struct elf_sym s;
	CHECK(p->lib == TLS_OPENSSL && !p->why[0] && p->how[0]);
	CHECK(elf_func(elf, "SSL_new", &s) && site(p, "ossl_new_exit") && site(p, "ossl_new_exit")->offset == s.off &&
	      site(p, "ossl_new_exit")->ret);
	CHECK(elf_func(elf, "SSL_free", &s) && site(p, "session_free") && site(p, "session_free")->offset == s.off);
	int fds = 0;
	for (uint32_t i = 0; i < p->nsites; i++) {
		CHECK(p->site[i].ret == (strstr(p->site[i].prog, "_exit") || !strcmp(p->site[i].prog, "call_return")));
		fds += !strcmp(p->site[i].prog, "ossl_set_fd");
	}
	CHECK(fds == 3);
}

/* Both exported forms of a direction meet in one internal function, which is probed, and they are not. */
static void check_shared(const struct elf *elf, const struct plan *p, const char *plain, const char *ex,
                         const char *enter)
{
	const struct plan_site *in = site(p, enter);
	CHECK(in != NULL);
	if (in) {
		int exits = 0;
		for (uint32_t i = 0; i < p->nsites; i++)
			exits += !strcmp(p->site[i].prog, "call_return") && p->site[i].offset == in->offset;
		CHECK(exits == 1);
		uint64_t start = in->offset; /* the site may be a few instructions into the function */
		while (in->offset - start < 32 && !calls(elf, plain, start))
			start--;
		CHECK(calls(elf, plain, start) && calls(elf, ex, start));
	}
}

/* ex: the exported function beside SSL_write that has the internal function's arguments; enter: its program. */
static void check_library(const char *path, const char *ex, const char *enter)
{
	struct plan p;
	if (!resolve(path, &p))
		return;
	printf("# %s: %s\n", path, p.how);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf *elf = elf_open(fd, NULL);
	CHECK(elf != NULL);
	if (!elf)
		return;
	check_shared(elf, &p, "SSL_read", "SSL_read_ex", "ossl_read_ex_enter");
	CHECK(!site(&p, "ossl_read_enter"));
	check_shared(elf, &p, "SSL_write", ex, enter);
	CHECK(!site(&p, "ossl_write_enter") && !site(&p, "ossl_write_ex_enter") == !!strcmp(ex, "SSL_write_ex"));
	struct elf_sym s;
	CHECK(!elf_func(elf, "SSL_sendfile", &s) == !site(&p, "ossl_sendfile_enter"));
	CHECK(!site(&p, "ossl_sendfile_enter") || site(&p, "ossl_sendfile_enter")->offset - s.off < 32);
	check_rest(elf, &p);
	elf_close(elf);
	close(fd);
}

/* 3.0 to 3.5, as the distribution has it. */
static void check_system(const char *path)
{
	struct elf_sym s;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf *elf = elf_open(fd, NULL);
	bool ex2 = elf && elf_func(elf, "SSL_write_ex2", &s);
	elf_close(elf);
	close(fd);
	check_library(path, ex2 ? "SSL_write_ex2" : "SSL_write_ex",
	              ex2 ? "ossl_write_ex2_enter" : "ossl_write_ex_enter");
}

TEST(openssl_of_the_system)
{
	for (int i = 0; system_libssl[i]; i++)
		if (!access(system_libssl[i], R_OK)) {
			check_system(system_libssl[i]);
			return;
		}
	printf("# skip: no libssl.so.3 here\n");
}

/* Called before the tests that need them. */
static bool fetched(const char *path)
{
	static bool tried;
	char *argv[] = {"sh", "-c", "timeout 90 sh tests/tools/fetch-libssl.sh >/dev/null 2>&1", NULL};
	struct cmd c;
	if (access(path, R_OK) && !tried && !cmd_hold(argv, &c, NULL) && !cmd_release(&c, NULL))
		waitpid(c.pid, NULL, 0);
	tried = true;
	if (!access(path, R_OK))
		return true;
	printf("# skip: %s could not be fetched (no network?)\n", path);
	return false;
}

TEST(openssl_1_1_1)
{
	if (fetched(CACHE "/1.1/libssl.so.1.1"))
		check_library(CACHE "/1.1/libssl.so.1.1", "SSL_write_ex", "ossl_write_ex_enter");
}

TEST(openssl_3_5)
{
	if (fetched(CACHE "/3.5/libssl.so.3"))
		check_library(CACHE "/3.5/libssl.so.3", "SSL_write_ex2", "ossl_write_ex2_enter");
}

/* Node exports its own OpenSSL; the compiler may have put the internal functions inside the exported ones. */
TEST(node)
{
	char path[PATH_MAX];
	struct plan p;
	if (!cmd_path("node", path, sizeof(path))) {
		printf("# skip: no node here\n");
		return;
	}
	if (!resolve(path, &p) || p.lib != TLS_OPENSSL)
		return;
	printf("# %s: %s\n", path, p.how);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf *elf = elf_open(fd, NULL);
	static const char *const fn[] = {"SSL_read", "SSL_read_ex", "SSL_write", "SSL_write_ex"};
	static const char *const prog[] = {"ossl_read_enter", "ossl_read_ex_enter", "ossl_write_enter",
	                                   "ossl_write_ex_enter"};
	struct elf_sym s[4];
	CHECK(elf_funcs(elf, fn, 4, s) == 4);
	for (int i = 0; i < 4; i++) {
		/* Either the function itself is probed, or what it calls. */
		const struct plan_site *own = site(&p, prog[i]), *ex = site(&p, prog[i | 1]);
		CHECK((own && own->offset == s[i].off) || (ex && calls(elf, fn[i], ex->offset)));
	}
	check_rest(elf, &p);
	elf_close(elf);
	close(fd);
}

/* Not OpenSSL: by their own functions, each with what remembers and what sends; or nothing. */
TEST(others)
{
	static const struct {
		const char *path;
		int lib;
		const char *prog[4];
	} t[] = {
	    {"/usr/lib/x86_64-linux-gnu/libgnutls.so.30",
	     TLS_GNUTLS,
	     {"gnutls_recv_enter", "gnutls_send_enter", "gnutls_init_exit", "session_free"}},
	    {"/usr/lib/x86_64-linux-gnu/libssl3.so", /* the name is not what counts */
	     TLS_NSS,
	     {"nss_import_exit"}},
	    {"/usr/lib/x86_64-linux-gnu/libnspr4.so",
	     TLS_NONE,
	     {"nss_read_enter", "nss_write_enter", "nss_recv_enter"}},
	    {"/usr/lib/x86_64-linux-gnu/libgnutls-openssl.so.27", TLS_NONE, {NULL}},
	    {"/lib/x86_64-linux-gnu/libc.so.6", TLS_NONE, {NULL}},
	    {"/usr/local/go/bin/go", TLS_GO, {"go_read_enter", "go_write_enter", "go_ret", "go_handshake"}},
	};
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		struct plan p;
		if (access(t[i].path, R_OK)) {
			printf("# skip: no %s here\n", t[i].path);
			continue;
		}
		resolve(t[i].path, &p);
		printf("# %s: %s%s\n", t[i].path, p.how, p.why);
		CHECK(p.lib == t[i].lib && !p.why[0] && !p.nsites == !t[i].prog[0]);
		for (int k = 0; k < 4 && t[i].prog[k]; k++)
			CHECK(site(&p, t[i].prog[k]) != NULL);
		for (uint32_t k = 0; k < p.nsites; k++) /* on Go a return probe would end the program */
			CHECK(p.lib != TLS_GO || !p.site[k].ret);
	}
	CHECK_STR(tls_lib_name(TLS_OPENSSL), "openssl");
	CHECK(tls_lib_name(TLS_NONE) == NULL && tls_lib_name(99) == NULL);
}

/* The other half of OpenSSL: one dear place. Node has it in the same file (its SSL_* are found above). */
TEST(libcrypto)
{
	char path[PATH_MAX] = "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", node[PATH_MAX];
	struct plan p;
	if (access(path, R_OK) || !resolve(path, &p)) {
		printf("# skip: no libcrypto.so.3 here\n");
		return;
	}
	CHECK(p.lib == TLS_NONE && !p.why[0] && p.nsites == 1 && p.site[0].late && !p.site[0].ret);
	CHECK_STR(p.site[0].prog, "ossl_bio_write");
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf *elf = elf_open(fd, NULL);
	struct elf_sym s;
	CHECK(elf && elf_func(elf, "BIO_write", &s) && s.off == p.site[0].offset);
	elf_close(elf);
	close(fd);
	if (cmd_path("node", node, sizeof(node)) && resolve(node, &p) && p.lib == TLS_OPENSSL)
		CHECK(site(&p, "ossl_bio_write") && !site(&p, "ossl_bio_write")->late && site(&p, "ossl_set_bio"));
}

TEST(not_elf)
{
	struct plan p;
	struct err e = {0};
	int fd = open("/proc/self/status", O_RDONLY);
	CHECK(plan_resolve(fd, "/some/libssl.so.3", false, &p, &e) == -1);
	CHECK(e.code == EXIT_RUNTIME && strstr(e.text, "/some/libssl.so.3"));
	close(fd);
}

/* ---- instruction work, on functions written here ---- */
/* clang-format off */
__asm__(
"	.pushsection .text, \"ax\", @progbits\n"
"	.macro FN name\n	.globl \\name\n	.type \\name, @function\n\\name:\n	.endm\n"
"	.macro END name\n	.size \\name, . - \\name\n	.endm\n"
"FN t_inner\n	ret\nEND t_inner\n"
"FN t_other\n	ret\nEND t_other\n"
/* the argument in rdx is lost on one of two paths */
"FN t_merge\n	test %edi, %edi\n	je 1f\n	xor %edx, %edx\n1:	call t_inner\n	ret\nEND t_merge\n"
/* saved over a call in callee-saved registers, passed on by a tail jump */
"FN t_saved\n	push %rbx\n	push %rbp\n	push %r12\n	mov %rdi, %rbx\n	mov %rsi, %rbp\n	movslq %edx, %r12\n"
"	call t_other\n	mov %r12, %rdx\n	mov %rbp, %rsi\n	mov %rbx, %rdi\n	lea 8(%rsp), %rcx\n"
"	pop %r12\n	pop %rbp\n	pop %rbx\n	jmp t_inner\nEND t_saved\n"
/* not saved: a call destroys them */
"FN t_lost\n	call t_other\n	call t_inner\n	ret\nEND t_lost\n"
"FN t_table\n	jmp *%rax\nEND t_table\n"
"FN t_pointer\n	mov 8(%rdi), %rax\n	call *%rax\n	ret\nEND t_pointer\n"
"FN t_junk\n	.byte 0x06, 0x07\n	ret\nEND t_junk\n"
"FN t_runs_off\n	nop\nEND t_runs_off\n"
"FN t_loop\n1:	dec %edx\n	jne 1b\n	call t_inner\n	ret\nEND t_loop\n"
"FN t_endbr\n	endbr64\n	ret\nEND t_endbr\n"
"FN t_push\n	push %r12\n	pop %r12\n	ret\nEND t_push\n"
"FN t_stub\n	endbr64\n	jmp *0x10(%rip)\nEND t_stub\n"
/* as SSL_read of OpenSSL 3.0: both sites are within, each path crosses both */
"FN p_both\n	sub $0x18, %rsp\n	test %edx, %edx\np_both_in:	js 2f\n	call t_inner\n	test %eax, %eax\n"
"	jle 1f\n	mov (%rsp), %eax\n1:	cmp %rcx, 8(%rsp)\np_both_out:	jne 3f\n	add $0x18, %rsp\n	ret\n"
"2:	mov $-1, %eax\n	jmp 1b\n3:	call t_other\nEND p_both\n"
/* one path returns past the only place for the result */
"FN p_past\n	sub $8, %rsp\n	test %edx, %edx\n	js 2f\n	call t_inner\n	nop\n	add $8, %rsp\n	ret\n"
"2:	mov $-1, %eax\n	add $8, %rsp\n	ret\nEND p_past\n"
/* what comes after the place changes the result */
"FN p_spoilt\n	sub $8, %rsp\n	nop\n	call t_inner\n	nop\n	neg %eax\n	add $8, %rsp\n	ret\nEND p_spoilt\n"
"FN p_tail\n	sub $8, %rsp\n	nop\n	call t_inner\n	nop\n	add $8, %rsp\n	jmp t_other\nEND p_tail\n"
"FN p_loop\n	sub $8, %rsp\n	nop\n1:	call t_inner\n	nop\n	dec %ebx\n	jne 1b\n	add $8, %rsp\n	ret\nEND p_loop\n"
/* at the only emulated instruction with the same stack the buffer is gone */
"FN p_gone\n	sub $8, %rsp\n	xor %esi, %esi\n	nop\n	call t_inner\n	nop\n	add $8, %rsp\n	ret\nEND p_gone\n"
"FN p_depth\n	sub $8, %rsp\n	nop\n	call t_inner\n	add $8, %rsp\n	nop\n	ret\nEND p_depth\n"
"FN p_endbr\n	endbr64\np_endbr_in:	push %rbx\n	call t_inner\n	pop %rbx\n	ret\nEND p_endbr\n"
"FN p_table\n	sub $8, %rsp\n	nop\n	call t_inner\n	nop\n	jmp *%rax\nEND p_table\n"
"	.popsection\n");
/* clang-format on */
extern const char p_both_in[], p_both_out[], p_endbr_in[];

static struct elf *self;

static bool calls_of(const char *name, struct site_calls *c)
{
	struct elf_sym s;
	CHECK(elf_func(self, name, &s));
	return sites_calls(self, &s, c);
}

static const struct site_call *call_to(const struct site_calls *c, const char *name)
{
	struct elf_sym s;
	if (elf_func(self, name, &s))
		for (unsigned i = 0; i < c->n; i++)
			if (c->v[i].target == s.addr)
				return &c->v[i];
	return NULL;
}

TEST(argument_tracking)
{
	struct site_calls c;
	const struct site_call *k;
	CHECK(calls_of("t_merge", &c) && (k = call_to(&c, "t_inner")) && k->arg[0] == SITE_ARG0 &&
	      k->arg[1] == SITE_ARG1 && k->arg[2] == SITE_UNKNOWN && k->arg[3] == SITE_ARG3 && k->arg[4] == SITE_ARG4);
	CHECK(calls_of("t_saved", &c) && c.n == 2 && (k = call_to(&c, "t_inner")) && k->arg[0] == SITE_ARG0 &&
	      k->arg[1] == SITE_ARG1 && k->arg[2] == SITE_ARG2 && k->arg[3] == SITE_STACK && k->arg[4] == SITE_UNKNOWN);
	CHECK(calls_of("t_lost", &c) && (k = call_to(&c, "t_inner")) && k->arg[0] == SITE_UNKNOWN &&
	      k->arg[3] == SITE_UNKNOWN);
	CHECK(calls_of("t_loop", &c) && (k = call_to(&c, "t_inner")) && k->arg[2] == SITE_UNKNOWN &&
	      k->arg[0] == SITE_ARG0);
	CHECK(calls_of("t_pointer", &c) && c.n == 0 && c.indirect);
	CHECK(!calls_of("t_table", &c));
	CHECK(!calls_of("t_junk", &c));
	CHECK(!calls_of("t_runs_off", &c));
}

TEST(site_classes)
{
	struct elf_sym s;
	CHECK(elf_func(self, "t_push", &s) && sites_emulated(self, s.addr) && !sites_is_stub(self, s.addr));
	CHECK(elf_func(self, "t_endbr", &s) && !sites_emulated(self, s.addr));
	CHECK(elf_func(self, "t_runs_off", &s) && sites_emulated(self, s.addr));
	CHECK(elf_func(self, "t_inner", &s) && !sites_emulated(self, s.addr)); /* ret */
	CHECK(elf_func(self, "t_table", &s) && !sites_emulated(self, s.addr));
	CHECK(elf_func(self, "t_stub", &s) && sites_is_stub(self, s.addr));
	CHECK(!sites_emulated(self, 0xdead0000));
}

/* How far into fn the label is. */
static uint64_t into(const char *label, const char *fn)
{
	return (uint64_t)(label - fn);
}

extern const char p_both[], p_endbr[];

TEST(places_of_a_call)
{
	static const char *const unproven[] = {"p_past", "p_spoilt", "p_tail", "p_loop",
	                                       "p_gone", "p_depth",  "p_table"};
	struct elf_sym s;
	struct site_pair p;
	CHECK(elf_func(self, "p_both", &s));
	site_pair(self, &s, 3, false, &p);
	CHECK(p.emulated && p.enter - s.addr == into(p_both_in, p_both) &&
	      p.leave - s.addr == into(p_both_out, p_both));
	site_pair(self, &s, 3, true, &p);
	CHECK(!p.emulated && p.enter == s.addr && !p.leave);
	CHECK(elf_func(self, "p_endbr", &s));
	site_pair(self, &s, 3, false, &p);
	CHECK(p.emulated && p.enter - s.addr == into(p_endbr_in, p_endbr) && !p.leave);
	s.size = 0;
	site_pair(self, &s, 3, false, &p);
	CHECK(p.emulated && p.enter - s.addr == into(p_endbr_in, p_endbr) && !p.leave);
	for (size_t i = 0; i < sizeof(unproven) / sizeof(*unproven); i++) {
		CHECK(elf_func(self, unproven[i], &s));
		site_pair(self, &s, 3, false, &p);
		CHECK(!p.emulated && p.enter == s.addr && !p.leave);
	}
	CHECK(elf_func(self, "p_gone", &s));
	site_pair(self, &s, 1, false, &p);
	CHECK(p.emulated && p.enter != s.addr && p.leave > p.enter);
}

int main(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	self = elf_open(fd, NULL);
	RUN(argument_tracking);
	RUN(site_classes);
	RUN(places_of_a_call);
	RUN(openssl_of_the_system);
	RUN(openssl_1_1_1);
	RUN(openssl_3_5);
	RUN(node);
	RUN(others);
	RUN(libcrypto);
	RUN(not_elf);
	elf_close(self);
	close(fd);
	return tap_done();
}
