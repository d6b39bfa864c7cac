/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * coverage.c - the record of --coverage: what is hooked in a process and how, and what is not and why.
 *
 * It must not know how it was found out.
 */
#include <string.h>

#include "core/run.h"

struct coverage_rec {
	struct rec_base base;
	const char *lib, *covered;
	struct rec_str how, file;
};

#define F(key, head, help, type, width, flags, member)                                                                 \
	{                                                                                                              \
		key, head, help, type, width, flags, REC_OFF(struct coverage_rec, member)                              \
	}

static const struct field coverage_fields[] = {
    F("pid", "PID", "process", FT_ID, 7, FF_TEXT | FF_RIGHT, base.pid),
    F("comm", "COMM", "command name", FT_STR, 15, FF_TEXT, base.comm),
    F("covered", "COVERED", "yes or no", FT_NAME, 7, FF_TEXT, covered),
    F("lib", "LIB", "TLS library", FT_NAME, 10, FF_TEXT, lib),
    F("file", "FILE", "file that contains it", FT_STR, 40, FF_TEXT, file),
    F("how", "HOW", "how it is hooked, or why not", FT_STR, 60, FF_TEXT | FF_FLEX, how),
};

const struct schema coverage_schema = {"coverage", coverage_fields,
                                       sizeof(coverage_fields) / sizeof(coverage_fields[0])};

static struct rec_str str_of(const char *s, size_t max)
{
	return (struct rec_str){s, strnlen(s, max)};
}

void coverage_emit(struct pipeline *p, const struct coverage *c)
{
	struct coverage_rec rec;
	struct record r = {&coverage_schema, &rec};

	memset(&rec, 0, sizeof(rec));
	rec.base.time_ns = REC_UNKNOWN;
	rec.base.conn = REC_UNKNOWN;
	rec.base.pid = c->pid;
	rec.base.comm = str_of(c->comm, sizeof(c->comm));
	rec.covered = c->covered ? "yes" : "no";
	rec.lib = c->lib;
	rec.how = str_of(c->how, sizeof(c->how));
	if (c->file[0])
		rec.file = str_of(c->file, sizeof(c->file));
	pipeline_emit(p, &r);
}
