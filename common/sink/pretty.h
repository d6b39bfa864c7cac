/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pretty.h - JSON text indented for reading, inside sink/ only. It must not know where the text comes from.
 */
#ifndef SNOOP_PRETTY_H
#define SNOOP_PRETTY_H

#include "base/buf.h"

/* Re-indents what looks like JSON; strings stay byte for byte, and what is malformed or cut still comes out whole.
 * False when s does not start like an object or array, or out's bound is exceeded: show s as it is. */
bool pretty_json(struct span s, struct buf *out);

#endif
