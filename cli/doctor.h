/*
 * Checks of this host: what NetVM could use and what it lacks. A check is one function and one line
 * of output; doctor.c lists and prints them, doctor_*.c hold them.
 */
#ifndef NETVM_CLI_DOCTOR_H
#define NETVM_CLI_DOCTOR_H

#include <jansson.h>

enum level {
	LEVEL_OK,
	LEVEL_WARN, /* works, but slower or with less */
	LEVEL_FAIL, /* NetVM cannot do its work */
};

struct finding {
	enum level level;
	char found[240];
	char fix[240]; /* one command or setting; empty when ok */
};

/* What checks look at. */
struct host {
	const char *root; /* in front of /proc, /sys and /dev: "" or, in tests, a made-up tree */
	const char *socket;
	/* from the daemon; NULL when it cannot be asked, and then `silence` says why */
	const json_t *info;
	const json_t *stats;
	const char *silence;
};

struct check {
	const char *name;
	void (*run)(const struct host *host, struct finding *finding);
};

/* Each ends with an entry without name. */
extern const struct check checks_memory[];
extern const struct check checks_cpu[];
extern const struct check checks_kernel[];
extern const struct check checks_daemon[];

/* Say what was found; and the fix, unless it is NULL. */
void finding_set(struct finding *finding, enum level level, const char *fix, const char *format,
	...) __attribute__((format(printf, 4, 5)));

/* First line of a file below host->root without its newline. 0 or -errno. */
int host_read(const struct host *host, const char *path, char *text, size_t size);

/* Number of entries in a folder below host->root that match the glob pattern. */
unsigned host_count(const struct host *host, const char *pattern);

#endif
