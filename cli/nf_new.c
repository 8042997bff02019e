/* `nf new`: writes the template of an NF into a new folder. See actions.h. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/actions.h"
#include "cli/template.h"

#define NAME_MARK       "@NAME@"
#define NAME_BYTES      31
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

/* The same rule as for objects of the configuration: the name will be one. */
static int check_name(struct cli *cli, const struct call *call, const char *name)
{
	size_t length = strlen(name);
	size_t valid = strspn(name, NAME_CHARACTERS "._-");
	int word = call_arg_word(call, "NEW-NAME");
	const char *hint = "valid: 1 to 31 of A-Z a-z 0-9 . _ -, the first a letter or digit";

	if (length > NAME_BYTES)
		return fault_usage(&cli->fault, word, NAME_BYTES, 0, hint, "the name is too long");
	if (valid < length)
		return fault_usage(&cli->fault, word, valid, 1, hint, "a name cannot hold \"%c\"",
			name[valid]);
	if (length == 0 || !strchr(NAME_CHARACTERS, name[0]))
		return fault_usage(&cli->fault, word, 0, 1, hint, "a name cannot begin so");
	return 0;
}

/* Write text with the name in the place of each mark. */
static void write_text(FILE *out, const char *text, const char *name)
{
	const char *mark;

	while ((mark = strstr(text, NAME_MARK)) != NULL) {
		fprintf(out, "%.*s%s", (int)(mark - text), text, name);
		text = mark + strlen(NAME_MARK);
	}
	fputs(text, out);
}

static void file_path(char path[PATH_MAX], const char *dir, const char *file, const char *name)
{
	FILE *out = fmemopen(path, PATH_MAX, "w");

	path[0] = '\0';
	if (!out)
		return;
	fprintf(out, "%s/", dir);
	write_text(out, file, name);
	fclose(out);
}

static int write_file(const struct template_file *file, const char *dir, const char *name)
{
	char path[PATH_MAX];
	FILE *out;
	int error;

	file_path(path, dir, file->name, name);
	out = fopen(path, "wxe");
	if (!out)
		return -errno;
	write_text(out, file->text, name);
	error = ferror(out) ? -EIO : 0;
	if (fclose(out) != 0)
		error = -errno;
	if (!error && strncmp(file->text, "#!", 2) == 0)
		chmod(path, 0755);
	return error;
}

/* Take back what was written, so that a second try is not refused. */
static void remove_files(const char *dir, const char *name)
{
	char path[PATH_MAX];

	for (const struct template_file *file = template_files; file->name; file++) {
		file_path(path, dir, file->name, name);
		unlink(path);
	}
	rmdir(dir);
}

static int write_files(struct cli *cli, const char *dir, const char *name)
{
	for (const struct template_file *file = template_files; file->name; file++) {
		int error = write_file(file, dir, name);

		if (!error)
			continue;
		remove_files(dir, name);
		return fault_other(&cli->fault, FAULT_FAILED, NULL, "cannot write %s/%s: %s", dir,
			file->name, strerror(-error));
	}
	return 0;
}

static void print_next_steps(struct cli *cli, const char *dir, const char *name)
{
	if (cli->json) {
		json_t *result = json_pack("{s:s, s:s}", "name", name, "dir", dir);

		print_json(cli, result);
		json_decref(result);
		return;
	}
	fprintf(cli->out, "%s/%s.c is your NF. Build it and run its test:\n  make -C %s test\n",
		dir, name, dir);
}

int run_nf_new(struct cli *cli, const struct call *call)
{
	const char *name = call_arg(call, "NEW-NAME");
	const char *dir = call_arg(call, "DIR");
	int word = call_arg_word(call, dir ? "DIR" : "NEW-NAME");

	if (check_name(cli, call, name))
		return -EINVAL;
	dir = dir ? dir : name;
	if (mkdir(dir, 0777) != 0 && errno == EEXIST)
		return fault_usage(&cli->fault, word, 0, 0, "name another folder",
			"%s is there already; nothing is overwritten", dir);
	if (access(dir, W_OK) != 0)
		return fault_usage(&cli->fault, word, 0, 0, NULL, "cannot make folder %s: %s", dir,
			strerror(errno));
	if (write_files(cli, dir, name))
		return -EIO;
	print_next_steps(cli, dir, name);
	return 0;
}
