/* Command lines into words and paths. See command.h. */
#include "modules/nf/command.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define BLANKS       " \t\r\n"
#define SHELL_ONLY   "|&;<>$`()"

static const char shell_hint[] =
	"commands are run without a shell: put the character in single quotes to pass it on";

/* Reading place in the line and writing place in the words; the words are never longer. */
struct splitter {
	const char *in;
	char *out;
};

static int split_quoted(struct splitter *at, struct error *error)
{
	char quote = *at->in++;

	while (*at->in && *at->in != quote) {
		if (quote == '"' && *at->in == '\\' && (at->in[1] == '"' || at->in[1] == '\\'))
			at->in++;
		*at->out++ = *at->in++;
	}
	if (!*at->in)
		return error_set(error, EINVAL, "", "close it, or write \\ in front of it",
			"the quote %c is not closed", quote);
	at->in++;
	return 0;
}

static int split_word(struct splitter *at, struct error *error)
{
	while (*at->in && !strchr(BLANKS, *at->in)) {
		if (*at->in == '\'' || *at->in == '"') {
			int rc = split_quoted(at, error);

			if (rc)
				return rc;
			continue;
		}
		if (strchr(SHELL_ONLY, *at->in))
			return error_set(error, EINVAL, "", shell_hint,
				"'%c' means something to a shell only", *at->in);
		if (*at->in == '\\' && !*++at->in)
			return error_set(error, EINVAL, "", "write \\\\ for a backslash",
				"the line ends with a backslash");
		*at->out++ = *at->in++;
	}
	*at->out++ = '\0';
	return 0;
}

static int no_memory(struct error *error)
{
	return error_set(error, ENOMEM, "", "", "no memory for the command");
}

int command_split(const char *line, struct command *command, struct error *error)
{
	size_t length = strlen(line), n = 0;
	struct splitter at = {.in = line};
	int rc = 0;

	command->text = at.out = malloc(length + 1);
	command->argv = calloc(length / 2 + 2, sizeof(*command->argv));
	if (!command->text || !command->argv)
		rc = no_memory(error);
	while (!rc && *(at.in += strspn(at.in, BLANKS))) {
		command->argv[n++] = at.out;
		rc = split_word(&at, error);
	}
	if (!rc && (n == 0 || !command->argv[0][0]))
		rc = error_set(error, EINVAL, "", "for example: netvm-forward",
			"the command names no program");
	if (rc)
		command_free(command);
	return rc;
}

/* Where the first word of a good line ends. */
static const char *first_word_end(const char *line, char *scratch)
{
	struct splitter at = {.in = line + strspn(line, BLANKS), .out = scratch};

	split_word(&at, NULL);
	return at.in;
}

char *command_with_program(const char *line, const char *program)
{
	bool plain = strcspn(program, BLANKS SHELL_ONLY "'\"\\") == strlen(program);
	char *text = malloc(strlen(line) + 2 * strlen(program) + 4);
	char *at = text;

	if (!text)
		return NULL;
	line = first_word_end(line, text);
	if (!plain)
		*at++ = '"';
	for (; *program; program++) {
		if (*program == '"' || *program == '\\')
			*at++ = '\\';
		*at++ = *program;
	}
	if (!plain)
		*at++ = '"';
	strcpy(at, line);
	return text;
}

void command_free(struct command *command)
{
	free(command->argv);
	free(command->text);
	*command = (struct command){0};
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* The finders return -ENOENT when there is no such program, -ENOMEM. */
static int find_in(const char *folder, const char *name, char **found)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path) ||
		!is_program(path))
		return -ENOENT;
	*found = strdup(path);
	return *found ? 0 : -ENOMEM;
}

/* Not glob(), which frees twice when memory runs out (glibc 2.36, GLOB_BRACE). */
static int find_below(const char *folder, const char *name, char **found)
{
	DIR *entries = opendir(folder);
	const struct dirent *entry;
	char path[PATH_MAX];
	int rc = -ENOENT;

	if (!entries)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? -ENOENT : -errno;
	while (rc == -ENOENT && (entry = readdir(entries)))
		if (entry->d_name[0] != '.' && snprintf(path, sizeof(path), "%s/%s", folder,
						       entry->d_name) < (int)sizeof(path))
			rc = find_in(path, name, found);
	closedir(entries);
	return rc;
}

/* The daemon's own folders first, so that NFs and daemon of one build find each other. */
static int find_at_home(const char *binary_dir, const char *name, char **found)
{
	char folder[PATH_MAX];
	int rc = find_in(binary_dir, name, found);

	if (snprintf(folder, sizeof(folder), "%s/../nfs", binary_dir) >= (int)sizeof(folder))
		return rc;
	if (rc == -ENOENT)
		rc = find_in(folder, name, found);
	return rc == -ENOENT ? find_below(folder, name, found) : rc;
}

static int find_on_path(const char *path, const char *name, char **found)
{
	int rc = -ENOENT;

	while (rc == -ENOENT && *path) {
		size_t length = strcspn(path, ":");
		char folder[PATH_MAX];

		/* Relative folders, the empty one too, would depend on where the daemon was
		 * started. */
		if (path[0] == '/' && length < sizeof(folder)) {
			snprintf(folder, sizeof(folder), "%.*s", (int)length, path);
			rc = find_in(folder, name, found);
		}
		path += length + (path[length] == ':');
	}
	return rc;
}

static int find_absolute(const char *word, char **path, struct error *error)
{
	if (access(word, F_OK))
		return error_set(error, errno, "",
			"it must lie where the daemon and the NF's user may go", "%s: %s", word,
			strerror(errno));
	if (!is_program(word))
		return error_set(error, EACCES, "", "make it executable: chmod 755",
			"%s is not an executable file", word);
	*path = strdup(word);
	return *path ? 0 : no_memory(error);
}

int command_find(const char *word, const char *binary_dir, char **path, struct error *error)
{
	const char *search = getenv("PATH");
	char hint[ERROR_HINT_BYTES];
	int rc;

	if (!search || !*search)
		search = PATH_DEFAULT;
	if (word[0] == '/')
		return find_absolute(word, path, error);
	if (strchr(word, '/'))
		return error_set(error, EINVAL, "",
			"give an absolute path, or a name to be looked for",
			"%s is a relative path", word);
	rc = find_at_home(binary_dir, word, path);
	if (rc == -ENOENT)
		rc = find_on_path(search, word, path);
	if (rc == 0)
		return 0;
	if (rc != -ENOENT)
		return error_set(error, -rc, "", "", "cannot look for %s: %s", word, strerror(-rc));
	snprintf(hint, sizeof(hint), "looked in %s, %s/../nfs and %s", binary_dir, binary_dir,
		search);
	return error_set(error, ENOENT, "", hint, "no program named %s", word);
}
