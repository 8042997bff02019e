/*
 * The error a caller of the daemon gets: {code, path, message, hint}.
 *
 * Every function of the control side that can fail for a reason a user can mend takes a
 * `struct error *` as its last argument, fills it and returns -errno. The caller owns the struct
 * (usually on its stack); nothing is allocated. The first failure wins: error_set() on an error
 * that is already set does nothing.
 *
 * Thread-safety: one thread per struct.
 */
#ifndef NETVM_COMMON_ERROR_H
#define NETVM_COMMON_ERROR_H

#define ERROR_PATH_BYTES    160
#define ERROR_MESSAGE_BYTES 320
#define ERROR_HINT_BYTES    320

struct error {
	int code;                          /* errno value, positive; 0 means not set */
	char path[ERROR_PATH_BYTES];       /* where in the document or request: ports.lan.mtu */
	char message[ERROR_MESSAGE_BYTES]; /* what is wrong, naming the value */
	char hint[ERROR_HINT_BYTES];       /* what would be valid; may be empty */
};

/* Fill `error` (NULL is fine) and return -code. */
int error_set(struct error *error, int code, const char *path, const char *hint, const char *format,
	...) __attribute__((format(printf, 5, 6)));

/* Put "prefix." in front of error->path (only the prefix when the path is empty). */
void error_prefix(struct error *error, const char *prefix);

/* Symbolic name of a code, such as "EINVAL"; "EUNKNOWN" for others. */
const char *error_code_name(int code);

/*
 * The entry of `names` (NULL-terminated) nearest to `name` by edit distance, or NULL when none is
 * close enough to be what was meant. For "did you mean" hints.
 */
const char *error_nearest(const char *name, const char *const *names);

#endif
