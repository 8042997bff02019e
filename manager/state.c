/* The running document on disk: see state.h. */
#include "manager/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/estate.h"
#include "manager/events.h"
#include "manager/file.h"
#include "common/memory.h"

#define SUM_BYTES 17

static struct {
	char running[PATH_MAX]; /* "": not open */
	char previous[PATH_MAX];
	const char *config_path;
	char config_sum[SUM_BYTES]; /* of the saved document when we last met it; "": none */
	char sum[SUM_BYTES];
	const char *read_from; /* running or previous */
	char writer[32];       /* the version that wrote what was read */
	bool failed;           /* the last write; said once */
} state;

/* FNV-1a, 64 bit: tells torn from whole; it is no protection against whoever may write here. */
static void make_sum(char sum[SUM_BYTES], const char *bytes, size_t n)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3;
	snprintf(sum, SUM_BYTES, "%016" PRIx64, hash);
}

/* All of a file with a NUL behind it; NULL with errno. */
static char *read_file(const char *path, size_t *n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	ssize_t done = -1;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0)
		text = malloc((size_t)st.st_size + 1);
	if (text)
		done = read(fd, text, (size_t)st.st_size);
	close(fd);
	if (done < 0) {
		free(text);
		return NULL;
	}
	text[done] = '\0';
	*n = (size_t)done;
	return text;
}

static void sum_config(char sum[SUM_BYTES])
{
	size_t n;
	char *text = read_file(state.config_path, &n);

	sum[0] = '\0';
	if (text)
		make_sum(sum, text, n);
	free(text);
}

/* ---- reading --------------------------------------------------------------------------------- */

static const char *head_text(const json_t *head, const char *key)
{
	const char *text = json_string_value(json_object_get(head, key));

	return text ? text : "";
}

static int check_format(const json_t *head, const char *path, struct error *error)
{
	json_int_t format = json_integer_value(json_object_get(head, "netvm-state"));
	char hint[PATH_MAX + 128];

	if (format < 1)
		return -EBADMSG;
	if (format >= STATE_FORMAT_OLDEST && format <= STATE_FORMAT)
		return 0;
	snprintf(hint, sizeof(hint),
		"run that version, or remove %s to start with the saved document", path);
	return error_set(error, ENOTSUP, path, hint,
		"written by netvmd %s in format %lld; this one, %s, reads format %d to %d",
		head_text(head, "version"), (long long)format, NETVM_VERSION, STATE_FORMAT_OLDEST,
		STATE_FORMAT);
}

/* `head` ends at its newline; `body` is the rest, ended by NUL. New reference in *document. */
static int parse_parts(const char *path, char *head_end, size_t n_body, json_t **head,
	json_t **document, struct error *error)
{
	const char *body = head_end + 1;
	char sum[SUM_BYTES];
	int rc = check_format(*head, path, error);

	if (rc)
		return rc;
	make_sum(sum, body, n_body);
	if (json_integer_value(json_object_get(*head, "bytes")) != (json_int_t)n_body ||
		strcmp(head_text(*head, "sum"), sum) != 0)
		return -EBADMSG;
	rc = memory_read_json(body, n_body, 0, document, NULL);
	return rc == -ENOMEM || json_is_object(*document) ? rc : -EBADMSG;
}

/* -ENOENT, -EBADMSG: torn, -ENOTSUP with the error set. New references after 0. */
static int read_state(const char *path, json_t **head, json_t **document, struct error *error)
{
	size_t n;
	char *text = read_file(path, &n);
	char *end = text ? memchr(text, '\n', n) : NULL;
	int rc = text ? -EBADMSG : -errno;

	*head = *document = NULL;
	if (end)
		rc = memory_read_json(text, (size_t)(end - text), 0, head, NULL);
	if (end && rc == 0)
		rc = parse_parts(path, end, n - (size_t)(end + 1 - text), head, document, error);
	if (rc == -EINVAL)
		rc = -EBADMSG;
	free(text);
	if (rc) {
		json_decref(*head);
		json_decref(*document);
		*head = *document = NULL;
	}
	return rc;
}

/* Damaged, or away because a daemon was killed while it put the next one there. */
static int read_last_good(json_t **head, json_t **document, struct error *error)
{
	int first = read_state(state.running, head, document, error);
	const char *what = first == -ENOENT ? "missing" : "damaged";
	int rc;

	state.read_from = first == 0 ? state.running : state.previous;
	if (first != -EBADMSG && first != -ENOENT)
		return first;
	rc = read_state(state.previous, head, document, error);
	if (rc == 0)
		events_add("state", "", "%s is %s: the one before it, %s, is used", state.running,
			what, state.previous);
	else if (rc != -ENOTSUP && first != -ENOENT)
		events_add("state", "",
			"%s is %s and there is no good one before it: the saved document is used",
			state.running, what);
	return rc == -EBADMSG ? -ENOENT : rc;
}

int state_read(json_t **document, bool *edited, struct error *error)
{
	json_t *head;
	int rc = read_last_good(&head, document, error);

	if (rc == -ENOTSUP)
		return rc;
	*edited = false;
	if (rc && rc != -ENOENT)
		return error_set(error, -rc, state.running, "make it readable, or remove it",
			"cannot read the running document: %s", strerror(-rc));
	if (rc)
		return 0;
	snprintf(state.sum, sizeof(state.sum), "%s", head_text(head, "sum"));
	snprintf(state.writer, sizeof(state.writer), "%s", head_text(head, "version"));
	if (strcmp(head_text(head, "boot"), estate_boot()) == 0 &&
		strcmp(head_text(head, "config"), state.config_path) == 0) {
		*edited = strcmp(head_text(head, "config_sum"), state.config_sum) != 0;
	} else {
		json_decref(*document);
		*document = NULL;
	}
	json_decref(head);
	return 0;
}

void state_origin(char *text, size_t size)
{
	snprintf(text, size, "%s, written by netvmd %s", state.read_from, state.writer);
}

/* ---- writing --------------------------------------------------------------------------------- */

static char *make_text(const json_t *document)
{
	char *body = json_dumps(document, JSON_COMPACT), *text = NULL;
	char *head = NULL;
	json_t *about;

	if (!body)
		return NULL;
	make_sum(state.sum, body, strlen(body));
	about = json_pack("{s:i s:s s:s s:s s:s s:I s:s}", "netvm-state", STATE_FORMAT, "version",
		NETVM_VERSION, "boot", estate_boot(), "config", state.config_path, "config_sum",
		state.config_sum, "bytes", (json_int_t)strlen(body), "sum", state.sum);
	head = json_dumps(about, JSON_COMPACT);
	json_decref(about);
	if (head && asprintf(&text, "%s\n%s", head, body) < 0)
		text = NULL;
	free(head);
	free(body);
	return text;
}

static bool is_kept(const char *text)
{
	size_t n;
	char *kept = read_file(state.running, &n);
	bool same = kept && n == strlen(text) && memcmp(kept, text, n) == 0;

	free(kept);
	return same;
}

/* At every moment there is a whole one under one of the two names, and they differ. */
static int replace(const char *text)
{
	char beside[PATH_MAX + 8];
	int rc;

	if (is_kept(text))
		return 0;
	snprintf(beside, sizeof(beside), "%s.new", state.running);
	rc = file_put(beside, text, strlen(text));
	if (rc)
		return rc;
	if (rename(state.running, state.previous) && errno != ENOENT)
		return -errno;
	return rename(beside, state.running) ? -errno : 0;
}

void state_write(const json_t *document)
{
	char *text = state.running[0] ? make_text(document) : NULL;
	int rc = text ? replace(text) : -ENOMEM;

	free(text);
	if (state.running[0] && rc && !state.failed)
		events_add("state", "",
			"cannot keep the running document in %s, a killed daemon would come back "
			"with an earlier one: %s",
			state.running, strerror(-rc));
	state.failed = rc != 0;
}

void state_saved(void)
{
	if (state.running[0])
		sum_config(state.config_sum);
}

/* The earlier one first: alone it would be taken for the last good one. */
void state_remove(void)
{
	unlink(state.previous);
	unlink(state.running);
}

const char *state_sum(void)
{
	return state.sum;
}

void state_open(const char *state_dir, const char *config_path)
{
	memset(&state, 0, sizeof(state));
	snprintf(state.running, sizeof(state.running), "%s/running", state_dir);
	snprintf(state.previous, sizeof(state.previous), "%s/running.previous", state_dir);
	state.config_path = config_path;
	state_saved();
}
