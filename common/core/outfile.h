/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outfile.h - the files of -w: their names under rotation, and opening them. The privileged half does it.
 *
 * It must not know what is written.
 */
#ifndef SNOOP_OUTFILE_H
#define SNOOP_OUTFILE_H

#include "core/tool.h"

/* Is -w standard output? */
bool outfile_is_stdout(const struct run_cfg *rc);
/*
 * Opens file number index (0: the first) as tcpdump names it: -C alone adds 1, 2, .. to the name from the second file
 * on; with -W the numbers start at 0, have leading zeros, and begin anew after the last; -G puts the time through
 * strftime(3). A new file is 0600 and belongs to the user behind sudo. A descriptor that is closed on exec; -1 with e.
 */
int outfile_open(const struct run_cfg *rc, uint64_t index, struct err *e);
/* Opens a file of the user behind sudo, 0600, emptied unless it is to be appended to. -1 with e. */
int outfile_private(const char *path, bool append, struct err *e);
/* Opens the files of --har and --curl, -1 for those that are none. 0, or -1 with e. */
int outfile_exports(const struct run_cfg *rc, int fd[RUN_EXPORTS], struct err *e);
/* Is there a file number index? With -G and -W alone the count is the end. */
bool outfile_more(const struct run_cfg *rc, uint64_t index);

/* A child process that opens further files for one that may not (what decodes is confined): its socket; -1 with e, or
 * without where there is one file only. It ends when the socket is closed. */
int outfile_opener(const struct run_cfg *rc, struct err *e);
/* The next file's descriptor; -1: there is none, or it could not be opened and that was told. */
int outfile_next(int opener);

#endif
