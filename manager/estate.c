/* Notes of what outlives a daemon: see estate.h. */
#include "manager/estate.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/events.h"
#include "manager/file.h"

#define BOOT_KEY "boot"

static char folder[PATH_MAX]; /* "": not open */

const char *estate_boot(void)
{
	static char boot[64];
	FILE *file = boot[0] ? NULL : fopen("/proc/sys/kernel/random/boot_id", "re");

	if (file) {
		if (!fgets(boot, sizeof(boot), file))
			boot[0] = '\0';
		boot[strcspn(boot, "\n")] = '\0';
		fclose(file);
	}
	return boot;
}

int estate_open(const char *run_dir, struct error *error)
{
	if (snprintf(folder, sizeof(folder), "%s/estate", run_dir) < PATH_MAX - NAME_MAX &&
		(mkdir(folder, 0700) == 0 || errno == EEXIST) && access(folder, W_OK | X_OK) == 0)
		return 0;
	return error_set(error, errno, folder, "give it to the user that the daemon runs as",
		"cannot keep notes there: %s", strerror(errno));
}

static void path_of(char path[PATH_MAX], const char *kind, const char *name)
{
	snprintf(path, PATH_MAX, "%.*s/%s.%s", PATH_MAX - NAME_MAX, folder, kind, name);
}

void estate_note(const char *kind, const char *name, json_t *what)
{
	char path[PATH_MAX], *text;
	int rc = -ENOMEM;

	json_object_set_new(what, BOOT_KEY, json_string(estate_boot()));
	text = folder[0] ? json_dumps(what, 0) : NULL;
	json_decref(what);
	if (!folder[0])
		return;
	path_of(path, kind, name);
	if (text)
		rc = file_put(path, text, strlen(text));
	free(text);
	if (rc)
		events_add("estate", "", "cannot write %s, a next daemon will not know of it: %s",
			path, strerror(-rc));
}

void estate_strike(const char *kind, const char *name)
{
	char path[PATH_MAX];

	if (!folder[0])
		return;
	path_of(path, kind, name);
	unlink(path);
}

/* Adds the note to `notes`, or removes its file. */
static void read_note(json_t *notes, const char *kind, const char *name)
{
	char path[PATH_MAX];
	const char *boot;
	json_t *note;

	path_of(path, kind, name);
	note = json_load_file(path, 0, NULL);
	boot = json_string_value(json_object_get(note, BOOT_KEY));
	if (boot && strcmp(boot, estate_boot()) == 0) {
		json_object_set_new(notes, name, note);
		return;
	}
	unlink(path);
	json_decref(note);
}

json_t *estate_read(const char *kind)
{
	DIR *entries = folder[0] ? opendir(folder) : NULL;
	size_t length = strlen(kind);
	json_t *notes = json_object();
	struct dirent *entry;

	while (entries && (entry = readdir(entries)))
		if (strncmp(entry->d_name, kind, length) == 0 && entry->d_name[length] == '.')
			read_note(notes, kind, entry->d_name + length + 1);
	if (entries)
		closedir(entries);
	return notes;
}
