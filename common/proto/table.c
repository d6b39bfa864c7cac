/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.c - the protocol decoders that are built in: one line each. It must not know how one works.
 */
#include "proto/decoder.h"

extern const struct decoder http1_decoder;   /* http1.c */
extern const struct decoder tlsdata_decoder; /* tlsdata.c */

const struct decoder *const decoders[] = {
    &http1_decoder,
    NULL,
};

const struct decoder *const raw_decoders[] = {
    &tlsdata_decoder,
    NULL,
};
