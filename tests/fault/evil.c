/* The program evil: one case by name, or the list of them all. See evil.h; run by tests/fault/run.
 */
#include "evil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct report report;

static const struct evil_case *const families[] = {
	life_cases,
	ring_cases,
	word_cases,
	memory_cases,
	attach_cases,
	scan_cases,
	pci_cases,
};

static const char *const outcomes[] = {
	[COUNTED] = "counted",
	[FAULT] = "fault",
	[BROKEN] = "broken",
	[REFUSED] = "refused",
	[NOBODY] = "nobody",
	[ANY] = "any",
};

static const char *const places[] = {
	[ANYWHERE] = "anywhere",
	[PROCESS] = "process",
	[GUEST] = "guest",
};

uint64_t rounds(uint64_t in_short_run, uint64_t in_long_run)
{
	uint64_t n = getenv("EVIL_LONG") ? in_long_run : in_short_run;

	if (in_guest() && n > 1)
		n = (n + 9) / 10;
	return n;
}

static void list_print(void)
{
	for (unsigned f = 0; f < sizeof(families) / sizeof(families[0]); f++)
		for (const struct evil_case *c = families[f]; c->name; c++)
			printf("%s\t%s\t%s\t%s\t%s\n", c->name, outcomes[c->outcome],
				places[c->where], c->traffic ? "traffic" : "", c->what);
}

static const struct evil_case *find(const char *name)
{
	for (unsigned f = 0; f < sizeof(families) / sizeof(families[0]); f++)
		for (const struct evil_case *c = families[f]; c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

static void report_print(void)
{
	if (report.unknown)
		return;
	printf("violations %llu\n", (unsigned long long)report.violations);
	printf("nf-bad-extent %llu\n", (unsigned long long)report.bad_extent);
	printf("nf-bad-verdict %llu\n", (unsigned long long)report.bad_verdict);
	printf("no-next %llu\n", (unsigned long long)report.no_next);
}

int main(int argc, char **argv)
{
	const struct evil_case *c = argc == 2 ? find(argv[1]) : NULL;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		list_print();
		return 0;
	}
	if (!c || !getenv("NETVM_SOCKET")) {
		fprintf(stderr,
			"usage: evil CASE     with NETVM_SOCKET set, `pci` in a guest; EVIL_LONG "
			"for long rounds\n"
			"       evil --list   name, outcome, where, traffic, what it does\n");
		return 2;
	}
	c->run(c);
	report_print();
	return 0;
}
