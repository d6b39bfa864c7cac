/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - all output formats. A new format is one file and one line here. It must not know how one works.
 */
#include "sink/sink.h"

extern const struct sink sink_text, sink_json, sink_csv, sink_har, sink_curl;

const struct sink *const sinks[] = {
    &sink_text, &sink_json, &sink_csv, &sink_har, &sink_curl, NULL,
};

const struct sink *sink_find(const char *name)
{
	for (size_t i = 0; sinks[i]; i++)
		if (!strcmp(sinks[i]->name, name))
			return sinks[i];
	return NULL;
}
