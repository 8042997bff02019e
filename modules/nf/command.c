/* Command lines into words and paths. See command.h. */
#include "modules/nf/command.h"

#include <errno.h>
#include <glob.h>
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

int command_split(const char *line, struct command *command, struct error *error)
{
	size_t length = strlen(line), n = 0;
	struct splitter at = {.in = line};
	int rc = 0;

	command->text = at.out = malloc(length + 1);
	command->argv = calloc(length / 2 + 2, sizeof(*command->argv));
	if (!command->text || !command->argv)
		rc = error_set(error, ENOMEM, "", "", "no memory for the command");
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

static char *find_in(const char *folder, const char *name)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return NULL;
	return is_program(path) ? strdup(path) : NULL;
}

/* The daemon's own folders first, so that NFs and daemon of one build find each other. */
static char *find_at_home(const char *binary_dir, const char *name)
{
	char *found = find_in(binary_dir, name);
	char pattern[PATH_MAX];
	glob_t folders;

	snprintf(pattern, sizeof(pattern), "%s/../nfs{,/*}", binary_dir);
	if (found || glob(pattern, GLOB_BRACE, NULL, &folders) != 0)
		return found;
	for (size_t i = 0; i < folders.gl_pathc && !found; i++)
		found = find_in(folders.gl_pathv[i], name);
	globfree(&folders);
	return found;
}

static char *find_on_path(const char *path, const char *name)
{
	char *found = NULL;

	while (!found && *path) {
		size_t length = strcspn(path, ":");
		char folder[PATH_MAX];

		/* Relative folders, the empty one too, would depend on where the daemon was
		 * started. */
		if (path[0] == '/' && length < sizeof(folder)) {
			snprintf(folder, sizeof(folder), "%.*s", (int)length, path);
			found = find_in(folder, name);
		}
		path += length + (path[length] == ':');
	}
	return found;
}

static int find_absolute(const char *word, char **path, struct error *error)
{
	if (access(word, F_OK))
		return error_set(error, errno, "", "", "%s: %s", word, strerror(errno));
	if (!is_program(word))
		return error_set(error, EACCES, "", "make it executable: chmod 755",
			"%s is not an executable file", word);
	*path = strdup(word);
	return *path ? 0 : -ENOMEM;
}

int command_find(const char *word, const char *binary_dir, char **path, struct error *error)
{
	const char *search = getenv("PATH");
	char hint[ERROR_HINT_BYTES];

	if (!search || !*search)
		search = PATH_DEFAULT;
	if (word[0] == '/')
		return find_absolute(word, path, error);
	if (strchr(word, '/'))
		return error_set(error, EINVAL, "",
			"give an absolute path, or a name to be looked for",
			"%s is a relative path", word);
	*path = find_at_home(binary_dir, word);
	if (!*path)
		*path = find_on_path(search, word);
	if (*path)
		return 0;
	snprintf(hint, sizeof(hint), "looked in %s, %s/../nfs and %s", binary_dir, binary_dir,
		search);
	return error_set(error, ENOENT, "", hint, "no program named %s", word);
}
