/*
 * What a started NF prints: RUN_DIR/nf/NAME.log, kept under OUTPUT_MAX_BYTES or so. Called by
 * instance.c.
 */
#ifndef NETVM_MODULES_NF_OUTPUT_H
#define NETVM_MODULES_NF_OUTPUT_H

#include <stddef.h>
#include <sys/types.h>

#include "common/error.h"

#define OUTPUT_MAX_BYTES (1 << 20)

struct output {
	int fd;      /* for appending; -1: none */
	off_t start; /* where this incarnation's part begins */
};

/* Open for the next incarnation; earlier ones stay in the file while it is small. */
int output_open(struct output *output, const char *run_dir, const char *name, struct error *error);
/* What is in the file is no longer this incarnation's: one that came after it has ended first. */
void output_resume(struct output *output);
/* The log of a guest becomes that of the NF that takes it, an earlier one goes; NULL: it goes. */
void output_rename(const char *run_dir, const char *from, const char *to);

void output_close(struct output *output);

/* Cut a file that has grown too large; call now and then. */
void output_trim(struct output *output);

/*
 * The last line this incarnation wrote, printable ASCII only (it is a stranger's text); "" when
 * there is none. `size` includes the NUL.
 */
void output_last_line(const struct output *output, char *line, size_t size);

#endif
