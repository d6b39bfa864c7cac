/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * confine.h - what a short-lived child process may still do. It must not know what the child is for.
 */
#ifndef SNOOP_CONFINE_H
#define SNOOP_CONFINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Gives up every capability but those in keep (bits), and the way to get others; with nobody also the user's identity
 * (uid and gid 65534). Core dumps are off. */
bool confine_privileges(uint64_t keep, bool nobody);
/* System calls but these fail with EPERM from now on, in all threads; another architecture's end the process. */
bool confine_calls(const uint16_t *allowed, size_t n);
/* Closes every descriptor from 3 on but these (ascending). */
void confine_descriptors(const int *keep, size_t n);

#endif
