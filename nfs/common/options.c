/* Command line of an NF from a table. See options.h. */
#include "common/options.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What netvm_main() understands; left in argv for it. */
static const struct option_spec common_specs[] = {
	{.name = "--name", .value = "NAME", .help = "attach as this NF ($NETVM_NAME)"},
	{.name = "--service", .value = "NAME", .help = "service to fill ($NETVM_SERVICE)"},
	{.name = "--socket", .value = "PATH", .help = "socket of the daemon ($NETVM_SOCKET)"},
	{.name = "--queues", .value = "N", .help = "threads, each with its own share of the flows"},
	{.name = "--busy", .help = "poll instead of sleeping when idle"},
	{.name = "--wait", .help = "wait for a daemon that comes later or again ($NETVM_WAIT=1)"},
	{.name = "--replay", .value = "IN[,OUT]", .help = "run over a pcap file, without a daemon"},
	{.name = "--help", .help = "show this text"},
	{0},
};

int options_error(const struct options *options, const char *option, const char *format, ...)
{
	va_list args;

	fprintf(stderr, "%s: %s: ", options->program, option);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return OPTIONS_BAD_USAGE;
}

static void spec_help(const struct option_spec *spec)
{
	int column = printf(
		"  %s%s%s", spec->name, spec->value ? " " : "", spec->value ? spec->value : "");

	printf("%*s%s", column < 24 ? 24 - column : 2, "", spec->help);
	for (unsigned i = 0; spec->choices && spec->choices[i]; i++)
		printf("%s%s", i ? ", " : ": ", spec->choices[i]);
	putchar('\n');
}

/* The number of values that must follow the option itself. */
static unsigned spec_values(const struct option_spec *spec)
{
	if (!spec->value || spec->name[0] != '-')
		return 0;
	return spec->n_texts ? spec->n_texts : 1;
}

/* "--name", "--name=VALUE" where one value follows, and any word for a positional argument. */
static const struct option_spec *specs_find(const struct option_spec *spec, const char *argument)
{
	size_t length = strcspn(argument, "=");

	for (; spec->name; spec++) {
		bool same = strncmp(spec->name, argument, length) == 0 && !spec->name[length];

		if (same && (!argument[length] || spec_values(spec) == 1))
			return spec;
		if (spec->name[0] != '-' && argument[0] != '-')
			return spec;
	}
	return NULL;
}

static void options_help(const struct options *options)
{
	const struct option_spec *spec;

	printf("Usage: %s %s\n%s\n\n", options->program, options->usage, options->summary);
	for (spec = options->specs; spec->name; spec++)
		spec_help(spec);
	printf("\nArguments of every NF:\n");
	for (spec = common_specs; spec->name; spec++) {
		if (!specs_find(options->specs, spec->name))
			spec_help(spec);
	}
}

static int unknown_option(const struct options *options, const char *argument)
{
	fprintf(stderr, "%s: %s: unknown option; valid:", options->program, argument);
	for (const struct option_spec *spec = options->specs; spec->name; spec++)
		fprintf(stderr, " %s", spec->name);
	for (const struct option_spec *spec = common_specs; spec->name; spec++)
		if (!specs_find(options->specs, spec->name))
			fprintf(stderr, " %s", spec->name);
	fputc('\n', stderr);
	return OPTIONS_BAD_USAGE;
}

static int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *number)
{
	uint64_t unit = 1, value;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end == 'k' || *end == 'M' || *end == 'G') {
		unit = *end == 'k' ? 1000 : *end == 'M' ? 1000000 : 1000000000;
		end++;
	}
	if (*end)
		return -EINVAL;
	if (errno == ERANGE || __builtin_mul_overflow(value, unit, &value) || value < min ||
		value > max)
		return -ERANGE;
	*number = value;
	return 0;
}

static int choice_set(
	const struct options *options, const struct option_spec *spec, const char *value)
{
	for (unsigned i = 0; spec->choices[i]; i++) {
		if (strcmp(spec->choices[i], value) == 0) {
			*spec->choice = i;
			return 0;
		}
	}
	fprintf(stderr, "%s: %s: \"%s\" is not known; valid:", options->program, spec->name, value);
	for (unsigned i = 0; spec->choices[i]; i++)
		fprintf(stderr, " %s", spec->choices[i]);
	fputc('\n', stderr);
	return OPTIONS_BAD_USAGE;
}

/* Store the values that follow option `spec`. They are `values[0..n)`, all there. */
static int spec_set(
	const struct options *options, const struct option_spec *spec, char **values, unsigned n)
{
	if (spec->flag)
		*spec->flag = true;
	for (unsigned i = 0; spec->text && i < n; i++)
		spec->text[i] = values[i];
	if (spec->choice)
		return choice_set(options, spec, values[0]);
	if (spec->number && parse_number(values[0], spec->min, spec->max, spec->number))
		return options_error(options, spec->name,
			"\"%s\" is not valid; valid: a number %" PRIu64 "..%" PRIu64, values[0],
			spec->min, spec->max);
	return 0;
}

/* Take the option at argv[*at] and its values; moves *at to the last of them. */
static int option_take(const struct options *options, int argc, char **argv, int *at)
{
	char *argument = argv[*at], **values = argv + *at + 1;
	char *joined = strchr(argument, '=');
	const struct option_spec *spec = specs_find(options->specs, argument);

	if (!spec)
		spec = specs_find(common_specs, argument);
	if (!spec)
		return unknown_option(options, argument);
	if (spec->name[0] != '-')
		return spec_set(options, spec, &argument, 1); /* it is its own value */
	if (joined) {
		joined++;
		return spec_set(options, spec, &joined, 1);
	}
	for (unsigned i = 0; i < spec_values(spec); i++) {
		if (++*at >= argc || strncmp(argv[*at], "--", 2) == 0)
			return options_error(
				options, spec->name, "needs a value; valid: %s", spec->value);
	}
	return spec_set(options, spec, values, spec_values(spec));
}

bool options_parse(const struct options *options, int *argc, char **argv, int *status)
{
	int n_left = 1;

	*status = 0;
	for (int i = 1; i < *argc; i++) {
		bool common = specs_find(common_specs, argv[i]);
		int first = i;

		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			options_help(options);
			return false;
		}
		*status = option_take(options, *argc, argv, &i);
		if (*status)
			return false;
		while (common && first <= i)
			argv[n_left++] = argv[first++];
	}
	argv[n_left] = NULL;
	*argc = n_left;
	return true;
}
