/* `doctor`: runs all checks and prints one line each. See doctor.h. */
#include "cli/doctor.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

#include "cli/actions.h"
#include "cli/table.h"

static const struct check *const all_checks[] = {
	checks_memory, checks_cpu, checks_kernel, checks_daemon, NULL};

static const char *const level_names[] = {"ok", "warn", "fail"};
static const enum colour level_colours[] = {COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD};

void finding_set(
	struct finding *finding, enum level level, const char *fix, const char *format, ...)
{
	va_list args;

	finding->level = level;
	snprintf(finding->fix, sizeof(finding->fix), "%s", fix ? fix : "");
	va_start(args, format);
	vsnprintf(finding->found, sizeof(finding->found), format, args);
	va_end(args);
}

int host_read(const struct host *host, const char *path, char *text, size_t size)
{
	char full[PATH_MAX];
	FILE *file;
	char *line;

	snprintf(full, sizeof(full), "%s%s", host->root, path);
	file = fopen(full, "re");
	if (!file)
		return -errno;
	line = fgets(text, (int)size, file);
	fclose(file);
	if (!line)
		text[0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

unsigned host_count(const struct host *host, const char *pattern)
{
	char full[PATH_MAX];
	glob_t found = {0};
	unsigned n = 0;

	snprintf(full, sizeof(full), "%s%s", host->root, pattern);
	if (glob(full, GLOB_NOSORT, NULL, &found) == 0)
		n = (unsigned)found.gl_pathc;
	globfree(&found);
	return n;
}

static void print_finding(struct cli *cli, const char *name, const struct finding *finding)
{
	colour_set(cli->out, cli->colour, level_colours[finding->level]);
	fprintf(cli->out, "%-4s", level_names[finding->level]);
	colour_set(cli->out, cli->colour, COLOUR_NONE);
	fprintf(cli->out, "  %-14s %s\n", name, finding->found);
	if (finding->fix[0])
		fprintf(cli->out, "      %-14s fix: %s\n", "", finding->fix);
}

static json_t *finding_json(const char *name, const struct finding *finding)
{
	return json_pack("{s:s, s:s, s:s, s:s}", "check", name, "level",
		level_names[finding->level], "found", finding->found, "fix", finding->fix);
}

/* Run all; returns the number of failures. */
static unsigned run_checks(struct cli *cli, const struct host *host, json_t *list)
{
	unsigned n_failed = 0;

	for (const struct check *const *checks = all_checks; *checks; checks++) {
		for (const struct check *check = *checks; check->name; check++) {
			struct finding finding = {0};

			check->run(host, &finding);
			n_failed += finding.level == LEVEL_FAIL;
			json_array_append_new(list, finding_json(check->name, &finding));
			if (!cli->json)
				print_finding(cli, check->name, &finding);
		}
	}
	return n_failed;
}

int run_doctor(struct cli *cli, const struct call *call)
{
	json_t *info = cli_ask(cli, "daemon.info", NULL);
	json_t *stats = info ? cli_ask(cli, "stats.get", NULL) : NULL;
	json_t *list = json_array();
	char silence[400];
	struct host host = {"", cli->socket, info, stats, silence};
	unsigned n_failed;

	(void)call;
	snprintf(silence, sizeof(silence), "%s", cli->fault.message);
	fault_clear(&cli->fault);
	n_failed = run_checks(cli, &host, list);
	if (cli->json)
		print_json(cli, list);
	json_decref(list);
	json_decref(info);
	json_decref(stats);
	return n_failed ? -EIO : 0;
}
