/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - the content codings that are built in: one line each. It must not know how one works.
 */
#include "body/codings.h"

const struct body_coding *const body_codings[] = {
    &body_gzip, &body_deflate, &body_br, &body_zstd, NULL,
};
