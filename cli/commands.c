/* The table of commands, arguments and options: all there is to know of the command line. */
#include "cli/actions.h"
#include "cli/assign.h"
#include "cli/schema.h"

const struct command commands[] = {
	{{"show"}, "[SECTION] [NAME]", "Show the configuration: all, a section or one object",
		.method = "config.get", .params = params_show, .print = print_show},
	{{OBJECT, "show"}, "[NAME]", "Show all of them, or all about one", .method = "config.get",
		.params = params_show, .print = print_show},
	{{OBJECT, "add"}, "NEW-NAME FIELD=VALUE... [--confirm SECONDS]", "Add one, under traffic",
		.method = "config.patch", .params = params_patch, .print = print_changes},
	{{OBJECT, "set"}, "NAME FIELD=VALUE... [--confirm SECONDS]",
		"Change fields; FIELD= goes back to the default", .method = "config.patch",
		.params = params_patch, .print = print_changes},
	{{OBJECT, "del"}, "NAME [--confirm SECONDS]", "Remove one", .method = "config.patch",
		.params = params_patch, .print = print_changes},
	{{SETTINGS, "show"}, "", "Show these settings", .method = "config.get",
		.params = params_show, .print = print_show},
	{{SETTINGS, "set"}, "FIELD=VALUE... [--confirm SECONDS]",
		"Change settings; FIELD= goes back to the default", .method = "config.patch",
		.params = params_patch, .print = print_changes},
	/* Of what OBJECT stands for, too, the later one is meant. */
	{{"nf", "show"}, "[NF]", "Show NFs: their settings, and how they fare", .method = "nf.show",
		.params = params_nf, .print = print_nfs},
	{{"nf", "new"}, "NEW-NAME [DIR]", "Write the source of an NF to start from",
		.run = run_nf_new},
	{{"nf", "restart"}, "NF", "Stop an NF and start it again", .method = "nf.restart",
		.params = params_nf, .print = print_done},
	{{"nf", "upgrade"},
		"NF [--binary PATH] [--command COMMAND] [--image PATH] [--probation SECONDS]",
		"Put another program in its place, without loss; back if it fails",
		.run = run_upgrade},
	{{"guard", "show"}, "", "Show flows that were in the hands of NFs that crashed",
		.method = "guard.show", .print = print_guard},
	{{"guard", "clear"}, "", "Forget these flows and let them through again",
		.method = "guard.clear", .print = print_done},
	{{"guest", "show"}, "NF [--qemu] [--libvirt]",
		"Print a guest's QEMU command line, or its devices for libvirt",
		.method = "guest.show", .params = params_nf, .print = print_guest},
	{{"guest", "migrate"}, "NF", "Move a guest of a pool to another QEMU while it runs",
		.method = "guest.migrate", .params = params_nf, .print = print_done},
	{{"image", "build"},
		"DIR --nf BINARY... [--file PATH]... [--kernel VMLINUX] [--module KO]... [WORD...]",
		"Make a bootable guest around statically linked NFs", .run = run_image_build},
	{{"config", "show"}, "", "Print the running configuration as a file",
		.method = "config.get", .print = print_yaml},
	{{"config", "check"}, "FILE", "Check a file; change nothing", .method = "config.check",
		.params = params_file, .print = print_checked},
	{{"config", "diff"}, "FILE", "Show what applying a file would change",
		.method = "config.diff", .params = params_file, .print = print_changes},
	{{"config", "apply"}, "FILE [--confirm SECONDS]", "Run by this file, in one step",
		.method = "config.apply", .params = params_file, .print = print_changes},
	{{"config", "confirm"}, "", "Keep what `config apply --confirm` changed",
		.method = "config.confirm", .print = print_done},
	{{"config", "rollback"}, "", "Go back to before the last change",
		.method = "config.rollback", .print = print_changes},
	{{"config", "save"}, "[FILE]", "Save the running configuration, for the next start",
		.method = "config.save", .params = params_save, .print = print_done},
	{{"stats"}, "", "Counters of ports, NFs and chains since the start, and the books",
		.method = "stats.get", .print = print_stats},
	{{"top"}, "[-n COUNT] [-d SECONDS]", "Rates of ports, NFs and chains, live",
		.run = run_top},
	{{"drops"}, "", "Why packets were dropped: all reasons, with counts", .method = "drops.get",
		.print = print_drops},
	{{"trace"}, "[FIELD=VALUE...] [--summary]",
		"Follow the next packets that match, from port to port", .method = "trace.run",
		.run = run_trace},
	{{"events"}, "[--follow]", "What happened: ports, NFs, configuration", .run = run_events},
	{{"daemon", "restart"}, "[--binary PATH] [--wait SECONDS]",
		"Have a new daemon take over, with the NFs alive; also for an upgrade",
		.run = run_daemon_restart},
	{{"doctor"}, "", "Check this host, with one fix per line", .run = run_doctor},
	{{"version"}, "", "Versions of this command and of the daemon", .run = run_version},
	{{"help"}, "[COMMAND...] [--man] [--schema FILE]", "Explain a command", .run = run_help},
	{{"complete"}, "[WORD...]", "What may stand as the last word; for shells", .hidden = true,
		.run = run_complete},
	{},
};

static void section_choices(
	struct cli *cli, const struct call *call, const char *text, struct choices *choices)
{
	const char *name;
	json_t *section;

	(void)call, (void)text;
	json_object_foreach ((json_t *)cli_schema(cli), name, section)
		choices_add(choices, name, schema_text(section, "help"));
}

static void object_choices(struct cli *cli, const char *section, struct choices *choices)
{
	const char *name;
	json_t *object;

	json_object_foreach (json_object_get(cli_document(cli), section), name, object)
		choices_add(choices, name, NULL);
}

/* Objects of the section that the command, or the argument before, names. */
static void name_choices(
	struct cli *cli, const struct call *call, const char *text, struct choices *choices)
{
	(void)text;
	object_choices(cli, call->section ? call->section : call_arg(call, "SECTION"), choices);
}

static void nf_choices(
	struct cli *cli, const struct call *call, const char *text, struct choices *choices)
{
	(void)call, (void)text;
	object_choices(cli, "nfs", choices);
}

static void file_choices(
	struct cli *cli, const struct call *call, const char *text, struct choices *choices)
{
	(void)cli, (void)call, (void)text;
	choices->files = true;
}

/* The words after `help` are those of a line of their own. */
static void command_choices(
	struct cli *cli, const struct call *call, const char *text, struct choices *choices)
{
	char *words[COMMAND_WORDS_MAX + 1];
	int n = 0;

	for (unsigned i = 0; i < call->n_args && n < COMMAND_WORDS_MAX; i++)
		words[n++] = call->words[call->arg[i].word];
	words[n++] = (char *)text;
	parse_choices(cli, n, words, choices);
}

const struct argument grammar_arguments[] = {
	{"SECTION", "part of the configuration: ports, nfs, chains ...", section_choices},
	{"NAME", "name of one that exists", name_choices},
	{"NEW-NAME", "name for a new one: 1 to 31 of A-Z a-z 0-9 . _ -", NULL},
	{"NF", "name of an NF of the configuration", nf_choices},
	{"FIELD=VALUE", "lists as a,b,c; fields within fields as match.in_port=lan",
		assign_choices},
	{"FILE", "configuration in YAML or JSON; - is standard input", file_choices},
	{"DIR", "folder to make; else one of that name, here", file_choices},
	{"COMMAND", "words of a command", command_choices},
	{"WORD", "words of a command line; behind -- also those with dashes", NULL},
	{},
};

const struct option grammar_options[] = {
	{"--json", "-j", NULL, "print the daemon's answer as JSON", true},
	{"--socket", "-s", "PATH", "the daemon's socket; else $NETVM_API, else /run/netvm/api.sock",
		true},
	{"--help", "-h", NULL, "explain the command", true},
	{"--confirm", NULL, "SECONDS", "undo by itself unless `config confirm` follows in time",
		false},
	{"--binary", NULL, "PATH", "the new program; the arguments stay", false},
	{"--wait", NULL, "SECONDS", "how long the new daemon has to take over; else 60", false},
	{"--command", NULL, "COMMAND", "the new program with its arguments, as one word", false},
	{"--image", NULL, "PATH", "of a guest: what to boot now", false},
	{"--probation", NULL, "SECONDS", "how long it may fail and be taken back; else 5", false},
	{"--follow", "-f", NULL, "go on, until Ctrl-C", false},
	{"--count", "-n", "COUNT", "end after so many tables; else go on, until Ctrl-C", false},
	{"--qemu", NULL, NULL,
		"as words of a command line, quoted for a shell; this is the default", false},
	{"--libvirt", NULL, NULL, "as elements that belong into <devices> of a domain", false},
	{"--summary", NULL, NULL, "how long packets were with each NF, instead of each packet",
		false},
	{"--nf", NULL, "BINARY", "a statically linked NF; the first is what the guest runs", false},
	{"--file", NULL, "PATH",
		"a file the NF reads, as PATH:GUEST_PATH where it shall lie elsewhere", false},
	{"--kernel", NULL, "VMLINUX", "uncompressed kernel to boot; else Debian's, downloaded",
		false},
	{"--module", NULL, "KO", "kernel module to load, uncompressed", false},
	{"--man", NULL, NULL, "all of it, as a manual page", false},
	{"--schema", NULL, "FILE", "read the sections from this answer of schema.get", false},
	{"--delay", "-d", "SECONDS", "time from one table to the next; else 1", false},
	{},
};
