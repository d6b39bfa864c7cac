/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * human.h - durations, sizes and addresses as people read them. It must not know records.
 */
#ifndef SNOOP_HUMAN_H
#define SNOOP_HUMAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "12.3ms", "4.50s", "2m03s", "4d01h"; NUL-terminated. The length. */
size_t fmt_us(char out[16], uint64_t us);
/* "512", "1.20K", "3.40G"; NUL-terminated. The length. */
size_t fmt_bytes(char out[16], uint64_t n);

#define ENDPOINT_MAX 64 /* "[" 8 * 4 digits, 7 colons "]:" 5 digits */
/* "ip:port", "[v6]:port" (RFC 5952), from bytes in network order and a port in host order; without the port where it
 * is 0. Returns the length; no NUL. */
size_t put_endpoint(char out[ENDPOINT_MAX], bool v6, const unsigned char *ip, unsigned port);

#endif
