/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * origin.h - whose call moved bytes. It must not know what the bytes are.
 */
#ifndef SNOOP_ORIGIN_H
#define SNOOP_ORIGIN_H

#include <stdint.h>

/* The thread whose call moved the bytes. pid 0: unknown (offline). */
struct origin {
	uint32_t pid, tid;
	char comm[16];
};

#endif
