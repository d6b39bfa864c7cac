/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf_test.c - the ELF reader against the dynamic linker's view of this very process, and against broken files.
 */
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf/elf.h"
#include "tap.h"

/* Found in .symtab only. */
__attribute__((noinline, used)) static int only_in_symtab(int x)
{
	return x * 3 + 1;
}

static const char marker[] = "a text that only this test holds";

static struct elf *open_path(const char *path, int *fd)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? NULL : elf_open(*fd, NULL);
}

static uint64_t base_of(const void *addr)
{
	Dl_info i;
	return dladdr(addr, &i) ? (uint64_t)(uintptr_t)i.dli_fbase : 0;
}

/* File that holds addr. */
static const char *file_of(const void *addr)
{
	static char path[512];
	Dl_info i;
	if (!dladdr(addr, &i))
		return "";
	snprintf(path, sizeof(path), "%s", i.dli_fname);
	return path;
}

TEST(dynsym_agrees_with_dlsym)
{
	static const char *const names[] = {"getppid", "no_such_function", "setsid", "ftok", "sbrk"};
	struct elf_sym s[5];
	int fd;
	struct elf *elf = open_path(file_of((void *)(uintptr_t)getppid), &fd);
	CHECK(elf != NULL);
	if (!elf)
		return;
	uint64_t base = base_of((void *)(uintptr_t)getppid);
	CHECK(elf_funcs(elf, names, 5, s) == 4);
	for (int i = 0; i < 5; i++) {
		void *p = dlsym(RTLD_DEFAULT, names[i]);
		CHECK(s[i].addr == (p ? (uint64_t)(uintptr_t)p - base : 0));
		uint64_t off = 1;
		CHECK(!p || (elf_addr_to_off(elf, s[i].addr, &off) && off == s[i].off && elf_is_code(elf, s[i].addr)));
		/* The file's bytes are the process's. */
		struct span b = elf_bytes(elf, s[i].addr, 16);
		CHECK(!p || (b.n == 16 && !memcmp(b.p, p, 16)));
	}
	CHECK(elf_build_id(elf).n == 20);
	CHECK(elf_interp(elf) && strstr(elf_interp(elf), "ld-linux"));
	CHECK(!elf_is_code(elf, 0));
	CHECK(elf_bytes(elf, ~0ull, 16).n == 0);
	elf_close(elf);
	close(fd);
}

static bool saw_libc(void *ctx, const char *name)
{
	*(bool *)ctx |= !strcmp(name, "libc.so.6");
	return true;
}

TEST(own_executable)
{
	struct elf_sym s;
	int fd;
	struct elf *elf = open_path("/proc/self/exe", &fd);
	CHECK(elf != NULL);
	uint64_t base = base_of(marker);
	CHECK(elf_func(elf, "only_in_symtab", &s));
	CHECK(s.addr == (uint64_t)(uintptr_t)only_in_symtab - base);
	CHECK(s.size > 0);
	CHECK(!elf_func(elf, "puts", &s)); /* imported, not defined */
	bool libc = false;
	elf_needed(elf, saw_libc, &libc);
	CHECK(libc);
	CHECK(elf_contains(elf, marker));
	char absent[] = "a text that only this test holdsX";
	absent[32]++; /* not in the file as such */
	CHECK(!elf_contains(elf, absent));
	CHECK(elf_has_section(elf, ".text") && !elf_has_section(elf, ".tex") && !elf_has_section(elf, ".nothing"));
	elf_close(elf);
	close(fd);
}

/* A copy of a file in memory. */
static int copy(const char *path)
{
	int in = open(path, O_RDONLY | O_CLOEXEC), out = memfd_create("elf_test", MFD_CLOEXEC);
	char b[65536];
	ssize_t n;
	while ((n = read(in, b, sizeof(b))) > 0)
		if (write(out, b, (size_t)n) != n)
			break;
	close(in);
	return out;
}

static bool count(void *ctx, const char *name)
{
	*(size_t *)ctx += strlen(name);
	return true;
}

/* Everything that the reader can do; must return, whatever the file is. */
static bool exercise(int fd)
{
	static const char *const names[] = {"puts", "SSL_read", "only_in_symtab", "x"};
	struct elf_sym s[4];
	struct err e = {0};
	size_t n = 0;
	struct elf *elf = elf_open(fd, &e);
	if (!elf) {
		CHECK(e.code == EXIT_RUNTIME && e.text[0]);
		return false;
	}
	elf_funcs(elf, names, 4, s);
	for (int i = 0; i < 4; i++)
		if (s[i].addr)
			elf_bytes(elf, s[i].addr, 4096);
	elf_needed(elf, count, &n);
	n += elf_runpath(elf) ? strlen(elf_runpath(elf)) : 0;
	n += elf_interp(elf) ? strlen(elf_interp(elf)) : 0;
	elf_has_section(elf, ".gopclntab");
	elf_contains(elf, marker);
	elf_close(elf);
	return true;
}

TEST(without_section_headers)
{
	struct elf_sym s;
	int fd = copy(file_of((void *)(uintptr_t)getppid));
	Elf64_Ehdr h;
	CHECK(pread(fd, &h, sizeof(h), 0) == sizeof(h));
	h.e_shoff = h.e_shnum = h.e_shstrndx = 0;
	CHECK(pwrite(fd, &h, sizeof(h), 0) == sizeof(h));
	struct elf *elf = elf_open(fd, NULL);
	CHECK(elf && elf_func(elf, "getppid", &s));
	CHECK(s.addr == (uint64_t)(uintptr_t)dlsym(RTLD_DEFAULT, "getppid") - base_of((void *)(uintptr_t)getppid));
	CHECK(!elf_has_section(elf, ".text"));
	elf_close(elf);
	close(fd);
}

TEST(not_elf)
{
	struct err e = {0};
	int fd = open("/proc/self/status", O_RDONLY);
	CHECK(!elf_open(fd, &e) && strstr(e.text, "not an ELF"));
	close(fd);
	CHECK(!elf_open(-1, NULL));
	int dir = open("/tmp", O_RDONLY);
	CHECK(!elf_open(dir, NULL));
	close(dir);
	Elf64_Ehdr h = {.e_type = ET_DYN, .e_machine = EM_386};
	memcpy(h.e_ident, ELFMAG "\1\1\1", 7);
	int i386 = memfd_create("i386", 0);
	CHECK(write(i386, &h, sizeof(h)) == sizeof(h));
	struct err e2 = {0};
	CHECK(!elf_open(i386, &e2) && strstr(e2.text, "x86-64"));
	close(i386);
}

TEST(cut_files)
{
	int fd = copy("/proc/self/exe");
	struct stat st;
	fstat(fd, &st);
	for (off_t n = st.st_size; n > 0; n = n * 9 / 10) {
		CHECK(!ftruncate(fd, n));
		exercise(fd);
	}
	close(fd);
}

TEST(cut_while_open)
{
	struct elf_sym s;
	int fd = copy("/proc/self/exe");
	struct elf *elf = elf_open(fd, NULL);
	CHECK(elf != NULL);
	CHECK(!ftruncate(fd, 128)); /* a mapping would now be a SIGBUS */
	CHECK(!elf_func(elf, "only_in_symtab", &s));
	CHECK(!elf_contains(elf, marker));
	elf_close(elf);
	close(fd);
}

/* Fixed pseudo-random damage to the headers and tables. */
TEST(damaged_files)
{
	uint32_t rnd = 12345;
	int good = copy("/proc/self/exe");
	struct stat st;
	fstat(good, &st);
	uint8_t *image = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, good, 0);
	Elf64_Ehdr *h = (void *)image;
	for (int round = 0; round < 400; round++) {
		int fd = memfd_create("damaged", MFD_CLOEXEC);
		/* Half of the damage goes to the first page, the rest to the dynamic section and section headers. */
		struct {
			size_t at;
			uint8_t was;
		} undo[8];
		for (int k = 0; k < 8; k++) {
			rnd = rnd * 1664525 + 1013904223;
			size_t at = 16 + (rnd >> 8) % 900;
			if (rnd & 0x40000000)
				at = h->e_shoff + (rnd >> 4) % ((size_t)st.st_size - h->e_shoff);
			undo[k].at = at;
			undo[k].was = image[at];
		}
		for (int k = 0; k < 8; k++) {
			rnd = rnd * 1664525 + 1013904223;
			image[undo[k].at] = rnd & 0x10000 ? 0xff : (uint8_t)(rnd >> 20);
		}
		CHECK(write(fd, image, (size_t)st.st_size) == st.st_size);
		for (int k = 8; k-- > 0;)
			image[undo[k].at] = undo[k].was;
		exercise(fd);
		close(fd);
	}
	munmap(image, (size_t)st.st_size);
	close(good);
}

/* Which function holds a place in the file: against the dynamic linker's view. */
TEST(function_at)
{
	int fd;
	struct elf *elf = open_path("/proc/self/exe", &fd);
	uint64_t off, into = 99;
	char name[32];

	CHECK(elf && only_in_symtab(1) == 4);
	if (!elf)
		return;
	uint64_t addr = (uint64_t)(uintptr_t)&only_in_symtab - base_of(&marker);
	CHECK(elf_addr_to_off(elf, addr, &off));
	CHECK(elf_func_at(elf, off + 1, name, sizeof(name), &into) && into == 1);
	CHECK_STR(name, "only_in_symtab");
	CHECK(elf_func_at(elf, off, name, 5, &into) && into == 0);
	CHECK_STR(name, "only");
	CHECK(!elf_func_at(elf, 1ULL << 40, name, sizeof(name), &into));
	CHECK(!elf_func_at(elf, UINT64_MAX, name, sizeof(name), &into));
	elf_close(elf);
	close(fd);
}

int main(void)
{
	CHECK(only_in_symtab(1) == 4);
	RUN(dynsym_agrees_with_dlsym);
	RUN(own_executable);
	RUN(without_section_headers);
	RUN(not_elf);
	RUN(cut_files);
	RUN(cut_while_open);
	RUN(damaged_files);
	RUN(function_at);
	return tap_done();
}
