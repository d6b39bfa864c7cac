/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * record.c - records through their schema: finding, testing and clearing fields. It must not know any record's meaning.
 */
#include "record.h"

#include <string.h>

const struct field *schema_find(const struct schema *s, const char *key)
{
	for (unsigned long i = 0; i < s->n; i++)
		if (!strcmp(s->fields[i].key, key))
			return &s->fields[i];
	return 0;
}

void rec_clear(const struct record *r)
{
	for (unsigned long i = 0; i < r->schema->n; i++) {
		const struct field *f = &r->schema->fields[i];
		void *p = (char *)r->data + f->off;

		switch (f->type) {
		case FT_TIME:
		case FT_NUM:
		case FT_US:
		case FT_BYTES:
			*(rec_u64 *)p = REC_UNKNOWN;
			break;
		case FT_ID:
			*(unsigned int *)p = 0;
			break;
		case FT_TRUE:
			*(unsigned char *)p = 0;
			break;
		case FT_BOOL:
			*(unsigned char *)p = 2;
			break;
		case FT_NAME:
			*(const char **)p = 0;
			break;
		case FT_STR:
		case FT_BODY:
			memset(p, 0, sizeof(struct rec_str));
			break;
		case FT_ADDR:
			memset(p, 0, sizeof(struct rec_addr));
			break;
		case FT_HEADERS:
			memset(p, 0, sizeof(struct rec_headers));
			break;
		}
	}
}
