/* Processes that outlived their daemon: see survivor.h. */
#include "modules/nf/survivor.h"

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "manager/estate.h"
#include "manager/schema.h"
#include "modules/nf/cgroup.h"
#include "modules/nf/nf.h"
#include "modules/nf/settings.h"
#include "modules/nf/tell.h"

#define KIND       "nf"
#define START_WORD 22 /* of /proc/PID/stat, see proc(5) */
#define END_MS     1000

static json_t *found; /* notes of those that run, by pid; NULL: not looked */

/* When the process started, in ticks since the boot; 0: there is none, or it cannot be seen. */
static uint64_t start_of(pid_t pid)
{
	char path[64], text[1024], *at = NULL;
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	/* The second word is the program's name, which may hold anything. */
	at = strrchr(text, ')');
	for (int word = 2; at && word < START_WORD; word++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

static const char *text_of(const json_t *note, const char *key)
{
	const char *text = json_string_value(json_object_get(note, key));

	return text ? text : "";
}

static void name_of(char name[16], pid_t pid)
{
	snprintf(name, 16, "%d", pid);
}

void survivor_note(
	pid_t pid, const struct nf_settings *settings, const char *sockets, const char *cgroup)
{
	char key[16];

	name_of(key, pid);
	estate_note(KIND, key,
		json_pack("{s:s s:I s:O s:s s:s s:s s:I}", "name", settings->name, "start",
			(json_int_t)start_of(pid), "object", settings->object, "cgroup", cgroup,
			"sockets", sockets, "user", settings->user, "uid",
			(json_int_t)settings->uid));
}

void survivor_strike(pid_t pid)
{
	char key[16];

	name_of(key, pid);
	estate_strike(KIND, key);
}

bool survivor_has(const char *sockets)
{
	json_t *note, *notes = estate_read(KIND);
	const char *key;
	bool has = false;

	json_object_foreach (notes, key, note)
		has |= strcmp(text_of(note, "sockets"), sockets) == 0;
	json_decref(notes);
	return has;
}

/* ---- the next daemon ------------------------------------------------------------------------- */

/* A descriptor first, then the look: the number cannot change its owner in between unseen. */
static int open_process(const char *key, const json_t *note)
{
	json_int_t start = json_integer_value(json_object_get(note, "start"));
	pid_t pid = (pid_t)atoi(key);
	int fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	if (fd >= 0 && start > 0 && start_of(pid) == (uint64_t)start &&
		syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

static void fill(struct survivor *survivor, const char *key, const json_t *note, int pidfd)
{
	survivor->pid = (pid_t)atoi(key);
	survivor->pidfd = pidfd;
	survivor->uid = (uid_t)json_integer_value(json_object_get(note, "uid"));
	snprintf(survivor->cgroup, sizeof(survivor->cgroup), "%s", text_of(note, "cgroup"));
	snprintf(survivor->sockets, sizeof(survivor->sockets), "%s", text_of(note, "sockets"));
	snprintf(survivor->user, sizeof(survivor->user), "%s", text_of(note, "user"));
}

/* What it started may still be there when the process itself is not. */
static void forget(const char *key, const json_t *note)
{
	struct cgroup cgroup = {.procs_fd = -1};
	struct survivor survivor;

	fill(&survivor, key, note, -1);
	memcpy(cgroup.path, survivor.cgroup, sizeof(cgroup.path));
	cgroup_destroy(&cgroup);
	estate_strike(KIND, key);
}

void survivors_find(void)
{
	json_t *note;
	const char *key;
	void *next;

	json_decref(found);
	found = estate_read(KIND);
	json_object_foreach_safe (found, next, key, note) {
		int fd = open_process(key, note);

		if (fd >= 0) {
			close(fd);
			continue;
		}
		forget(key, note);
		json_object_del(found, key);
	}
}

/* Fields that another version did not know do not count. */
static bool is_same(const json_t *noted, const json_t *object)
{
	for (const struct field *field = nf_section.fields; field->name; field++) {
		const json_t *before = json_object_get(noted, field->name);

		if (field->effect == EFFECT_RECREATE && before &&
			!json_equal(before, json_object_get(object, field->name)))
			return false;
	}
	return true;
}

static bool is_named(const json_t *note, const char *name)
{
	return strcmp(text_of(note, "name"), name) == 0;
}

/* Of two, when one was about to take over from the other: the one that was started last. */
static const char *find_key(const char *name, const json_t *object)
{
	const char *key, *best = NULL;
	json_int_t latest = 0;
	json_t *note;

	json_object_foreach (found, key, note) {
		json_int_t start = json_integer_value(json_object_get(note, "start"));

		if (start < latest || !is_named(note, name) ||
			!is_same(json_object_get(note, "object"), object))
			continue;
		latest = start;
		best = key;
	}
	return best;
}

bool survivor_take(const char *name, const json_t *object, struct survivor *survivor)
{
	const char *key = find_key(name, object);
	const json_t *note = key ? json_object_get(found, key) : NULL;
	int fd = note ? open_process(key, note) : -1;

	if (fd < 0)
		return false;
	fill(survivor, key, note, fd);
	json_object_del(found, key);
	return true;
}

static void end(const char *key, const json_t *note)
{
	int fd = open_process(key, note);

	if (fd < 0)
		return;
	syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	close(fd);
	nf_tell(text_of(note, "name"), "nf-orphan",
		"process %s of an earlier daemon is ended: the document does not need it any more",
		key);
}

/* Its cgroup can go when it has. */
static void bury(const char *key, const json_t *note)
{
	struct pollfd ended = {.fd = open_process(key, note), .events = POLLIN};

	if (ended.fd >= 0) {
		(void)poll(&ended, 1, END_MS);
		close(ended.fd);
	}
	forget(key, note);
}

void survivors_end(void)
{
	json_t *note;
	const char *key;

	json_object_foreach (found, key, note)
		end(key, note);
	json_object_foreach (found, key, note)
		bury(key, note);
	json_decref(found);
	found = NULL;
}
