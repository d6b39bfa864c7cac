# SPDX-License-Identifier: BSD-2-Clause
# snoopkit: everything is found by wildcard; a new tool, protocol, library or format needs no edit here.

VERSION  := 0.1.0
PREFIX   ?= /usr/local
DESTDIR  ?=
CC       ?= cc
CLANG    ?= clang
STRIP_BPF ?= llvm-strip
BUILD    := build
WERROR   ?=

CPPFLAGS += -D_GNU_SOURCE -Icommon -DSNOOP_VERSION='"$(VERSION)"'
CFLAGS   ?= -O2 -g
CFLAGS   += -std=gnu11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla \
            -Wformat=2 -Wno-format-nonliteral -Wno-missing-field-initializers -fstack-protector-strong -fPIE \
            -D_FORTIFY_SOURCE=2 $(WERROR)
LDFLAGS  += -pie -Wl,-z,relro,-z,now
LDLIBS   := -lbpf -lelf -lz -lpcap -lbrotlidec -lzstd -lZydis -lcrypto -lmnl
# The decoding process's system call filter; SECCOMP=no builds without (then --version says so).
SECCOMP  ?= $(shell echo '\#include <seccomp.h>' | $(CC) $(CPPFLAGS) -E - >/dev/null 2>&1 && echo yes || echo no)
ifeq ($(SECCOMP),yes)
CPPFLAGS += -DHAVE_SECCOMP
LDLIBS   += -lseccomp
endif
BPFFLAGS := -O2 -g -target bpf -mcpu=v2 -D__TARGET_ARCH_x86 -Icommon -Ibpf/lib -Wall -Wno-missing-declarations \
            -Wno-compare-distinct-pointer-types $(WERROR)

TOOLS    := $(patsubst tools/%.c,%,$(wildcard tools/*.c))
LIB_SRC  := $(wildcard common/*.c common/*/*.c)
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB      := $(BUILD)/libsnoop.a
BINS     := $(TOOLS:%=$(BUILD)/bin/%)
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/*.c))
CORPORA  := $(patsubst tests/golden/%.c,$(BUILD)/tests/golden/%,$(wildcard tests/golden/*.c))
PROGS    := $(patsubst tests/live/prog/%.c,$(BUILD)/tests/prog/%,$(wildcard tests/live/prog/*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(wildcard tests/fuzz/*.c))

# Libraries that a test names for itself in a line of its own.
ldlibs_of = $(shell sed -n 's|^/\* LDLIBS: \(.*\) \*/$$|\1|p' $(1))

.PHONY: all clean deps deps-check demo check check-kernels check-unit bench bench-worker fuzz lint fmt docs install uninstall progs tests-build
.SECONDARY:
all: $(BINS)

$(BUILD)/bin/%: $(BUILD)/tools/%.o $(BUILD)/bpf/%.embed.o $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(LIB_OBJ)
	@mkdir -p $(@D)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPFFLAGS) -MMD -MP -MF $(BUILD)/bpf/$*.bpf.d -c -o $@ $<
	$(STRIP_BPF) -g $@

# The object becomes two symbols: NAME_bpf and NAME_bpf_end (dashes in a tool's name become underscores).
$(BUILD)/bpf/%.embed.o: $(BUILD)/bpf/%.bpf.o
	@printf '.section .rodata\n.balign 16\n.globl %s_bpf\n.globl %s_bpf_end\n%s_bpf:\n.incbin "%s"\n%s_bpf_end:\n.section .note.GNU-stack,"",@progbits\n' \
		$(subst -,_,$*) $(subst -,_,$*) $(subst -,_,$*) $< $(subst -,_,$*) > $(BUILD)/bpf/$*.embed.s
	$(CC) -c -o $@ $(BUILD)/bpf/$*.embed.s

$(BUILD)/tests/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS) \
		$(call ldlibs_of,$<)

$(BUILD)/tests/bench/%: tests/bench/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS) $(call ldlibs_of,$<)

$(BUILD)/tests/prog/%: tests/live/prog/%.c $(wildcard tests/live/prog/*.h)
	@mkdir -p $(@D)
	$(CC) -O1 -g -Wall -D_GNU_SOURCE -o $@ $< -lpthread $(call ldlibs_of,$<)

$(BUILD)/tests/golden/%: tests/golden/%.c $(LIB)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(LIB) $(LDLIBS) $(call ldlibs_of,$<)

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c $(LIB_SRC)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -o $@ $< $(LIB_SRC) $(LDLIBS)

progs: $(PROGS)
tests-build: all $(UNIT) $(PROGS) $(CORPORA)

deps:
	sh tests/tools/deps.sh build
deps-check:
	sh tests/tools/deps.sh check

demo:
	sh tests/tools/deps.sh demo
	$(MAKE) all
	bash tests/tools/demo.sh

# A story of its own: make demo-window
demo-%:
	sh tests/tools/deps.sh demo
	$(MAKE) all
	bash tests/tools/demo-$*.sh

check:
	sh tests/tools/deps.sh check
	sh tests/tools/cache.sh
	$(MAKE) WERROR=-Werror tests-build
	bash tests/tools/run.sh lint unit cli golden live

# The live tests in guests with stock kernels; one test on one kernel: make check-kernels K=6.1 T=name
check-kernels:
	sh tests/tools/deps.sh check
	sh tests/tools/cache.sh
	$(MAKE) WERROR=-Werror all progs
	K="$(K)" T="$(T)" FULL="$(FULL)" bash tests/tools/run.sh kernels

check-unit: 
	$(MAKE) tests-build
	bash tests/tools/run.sh unit cli golden

bench: all progs
	bash tests/bench/run.sh
	bash tests/bench/windows.sh

# What an exchange costs the worker, without a kernel; instructions: run it under valgrind --tool=callgrind.
bench-worker: $(BUILD)/tests/bench/worker
	for mode in none text json; do $< $$mode 400000 >/dev/null || exit 1; done

FUZZ_SECONDS ?= 30
fuzz:
	sh tests/tools/deps.sh fuzz
	$(MAKE) $(FUZZERS)
	bash tests/fuzz/run.sh $(FUZZ_SECONDS)

lint: all
	bash tests/tools/lint.sh

fmt:
	clang-format -i $$(git ls-files '*.c' '*.h')

docs: all
	bash tests/tools/docs.sh write

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man8 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d $(DESTDIR)$(PREFIX)/share/snoopkit/wireshark
	install -m 644 share/wireshark/snoopkit.lua $(DESTDIR)$(PREFIX)/share/snoopkit/wireshark/
	for t in $(TOOLS); do \
		install -m 755 $(BUILD)/bin/$$t $(DESTDIR)$(PREFIX)/bin/$$t && \
		install -m 644 man/$$t.8 $(DESTDIR)$(PREFIX)/share/man/man8/$$t.8 && \
		install -m 644 completions/$$t.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$t && \
		install -m 644 completions/_$$t $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$t && \
		install -m 644 completions/$$t.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$t.fish || exit 1; \
	done

uninstall:
	rm -rf $(DESTDIR)$(PREFIX)/share/snoopkit
	for t in $(TOOLS); do \
		rm -f $(DESTDIR)$(PREFIX)/bin/$$t $(DESTDIR)$(PREFIX)/share/man/man8/$$t.8 \
			$(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$t \
			$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$t \
			$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$t.fish; \
	done

clean:
	rm -rf $(BUILD)

-include $(LIB_OBJ:.o=.d) $(TOOLS:%=$(BUILD)/tools/%.d) $(TOOLS:%=$(BUILD)/bpf/%.bpf.d) $(UNIT:%=%.d)
