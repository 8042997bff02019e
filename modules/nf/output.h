/*
 * What a started NF prints, in RUN_DIR/nf/NAME.log, which is never larger than OUTPUT_MAX_BYTES:
 *
 *   NF, or its QEMU ── RUN_DIR/nf/NAME.pipe ──► the daemon ──► RUN_DIR/nf/NAME.log
 *
 * RUN_DIR lies in memory that the daemon and all NFs need, so an NF does not write there itself.
 * The pipe is all it can fill: one that prints faster than OUTPUT_LOOK_BYTES every OUTPUT_LOOK_MS
 * waits in write(), and so does one that no daemon reads any more. The pipe has a name for the next
 * daemon to find it, with what is in it; the NF has both of its ends, so that none is closed
 * before.
 *
 * Called by child.c and whoever has a child. Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_OUTPUT_H
#define NETVM_MODULES_NF_OUTPUT_H

#include <stddef.h>

#include "common/error.h"

#define OUTPUT_MAX_BYTES  (1 << 20)
#define OUTPUT_LOOK_BYTES (1 << 16) /* what a pipe holds */
#define OUTPUT_LOOK_MS    20

struct event_base;
struct output;

/*
 * For the next incarnation; what earlier ones printed stays in the file while there is room.
 * Errors: errno of mkdir, mkfifo and open, -ENOMEM.
 */
int output_open(struct event_base *base, const char *run_dir, const char *name,
	struct output **output, struct error *error);
/* NULL is fine. */
void output_close(struct output *output);

/* The end that the NF prints to; the caller closes it. -errno of open. */
int output_writer(const struct output *output);

/* What is in the file is no longer this incarnation's: one that came after it has ended first. NULL
 * is fine. */
void output_resume(struct output *output);
/* The log of a guest becomes that of the NF that takes it, an earlier one goes; NULL: it goes. */
void output_rename(const char *run_dir, const char *from, const char *to);

/*
 * The last line this incarnation printed, printable ASCII only (it is a stranger's text); "" when
 * there is none. `size` includes the NUL. `output` NULL: none.
 */
void output_last_line(struct output *output, char *line, size_t size);

#endif
