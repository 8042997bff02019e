/*
 * The grammar, without a daemon: each line of a table and what is understood, or how it is refused.
 * argv[1] is the file with the schema.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/assign.h"
#include "cli/grammar.h"

static const char *schema_path;

static const struct {
	const char *line;
	const char *meaning; /* command, section, arguments, options; or the fault */
} cases[] = {
	/* words and prefixes */
	{"show", "show"},
	{"sh ports lan", "show SECTION:ports NAME:lan"},
	{"port show", "OBJECT show ports"},
	{"ports show", "OBJECT show ports"},
	{"po s lan mtu=1", "2:1+1: \"s\" is ambiguous (it could be show or set)"},
	{"po se lan mtu=1", "OBJECT set ports NAME:lan {\"mtu\": 1}"},
	{"nf new x", "nf new NEW-NAME:x"},
	{"nf add x service=y", "OBJECT add nfs NEW-NAME:x {\"service\": \"y\"}"},
	{"engine set poll=b", "SETTINGS set engine {\"poll\": \"busy\"}"},
	{"co x", "2:1+1: \"x\" is not a command"},
	{"conf app f", "config apply FILE:f"},
	{"complete x", "complete WORD:x"},
	{"compl x", "2:0+5: \"compl\" is not a command"},
	/* arguments */
	{"config", "2:1+0: the command lacks a word (valid: show, check, diff, apply, confirm, "
		   "rollback or save)"},
	{"config apply", "2:2+0: FILE is missing"},
	{"config confirm now", "2:2+3: one word too many"},
	{"nf new", "2:2+0: NEW-NAME is missing"},
	{"port add x", "2:3+0: FIELD=VALUE is missing"},
	{"port del \xff", "2:2+1: NAME holds bytes that are no text"},
	{"port set lan spec=\xe4", "2:3+6: FIELD=VALUE holds bytes that are no text"},
	{"config apply \xff", "config apply FILE:\xff"},
	{"help port add", "help COMMAND:port COMMAND:add"},
	/* options */
	{"config apply f --confirm 60", "config apply FILE:f --confirm=60"},
	{"config apply --confirm=60 f", "config apply FILE:f --confirm=60"},
	{"--conf 60 config apply f", "config apply FILE:f --confirm=60"},
	{"config apply -- --f", "config apply FILE:--f"},
	{"config apply -", "config apply FILE:-"},
	{"top -n 3 -d 0.5", "top --count=3 --delay=0.5"},
	{"top -n", "2:2+0: --count needs COUNT"},
	{"top --delay=0.5", "top --delay=0.5"},
	{"top --del=0.5", "top --delay=0.5"},
	{"help --schema=f", "help --schema=f"},
	{"top -x", "2:1+2: \"-x\" is not an option (valid: --json, --socket, --help, --count or "
		   "--delay)"},
	{"top --dealy", "2:1+7: \"--dealy\" is not an option (did you mean --delay? valid: "
			"--json, --socket, --help, --count or --delay)"},
	{"--quiet top", "2:0+7: \"--quiet\" is not an option (valid: --json, --socket or --help)"},
	{"tp --frob", "2:0+2: \"tp\" is not a command"},
	{"top --con", "2:2+0: --confirm needs SECONDS"},
	{"top --co", "2:1+4: \"--co\" is ambiguous (it could be --confirm, --command or "
		     "--count)"},
	{"stats -n 3", "2:2+1: --count has no meaning here"},
	{"events --follow=x", "2:1+2: --follow takes no value"},
	{"port set --help", "help COMMAND:port COMMAND:set --help="},
	/* fields and values */
	{"port set lan mtu=9000 up=f", "OBJECT set ports NAME:lan {\"mtu\": 9000, \"up\": false}"},
	{"port set lan mtu=", "OBJECT set ports NAME:lan {\"mtu\": null}"},
	{"port set lan spec=pcap:a=b", "OBJECT set ports NAME:lan {\"spec\": \"pcap:a=b\"}"},
	{"port set lan mtu=-5", "OBJECT set ports NAME:lan {\"mtu\": -5}"},
	{"port set lan mtu=5x", "2:3+2: \"5x\" is not valid here"},
	{"port set lan mtu=99999999999999999999", "2:3+20: "
						  "\"99999999999999999999\" is not valid here"},
	{"port set lan up=yes", "2:3+3: \"yes\" is not valid here"},
	{"port set lan =5", "2:3+2: \"\" is not a field of port"},
	{"port set lan u", "2:3+1: up needs a value"},
	{"chain add c path=a,b", "OBJECT add chains NEW-NAME:c {\"path\": [\"a\", \"b\"]}"},
	{"chain add c f=a t=b d=t",
		"OBJECT add chains NEW-NAME:c {\"from\": \"a\", \"to\": \"b\", \"default\": true}"},
	{"engine set cpus=1,2", "SETTINGS set engine {\"cpus\": [1, 2]}"},
	{"engine set cpus=1,,2", "2:2+2: \"\" is not valid here"},
	{"flow add f match.in=lan match.dst=80 pri=5",
		"OBJECT add flows NEW-NAME:f {\"match\": {\"in_port\": \"lan\", \"dst_port\": 80},"
		" \"priority\": 5}"},
	{"flow add f match.dst=1-9 match.prot=t",
		"OBJECT add flows NEW-NAME:f {\"match\": "
		"{\"dst_port\": \"1-9\", \"protocol\": \"tcp\"}}"},
	{"flow add f match=5", "2:3+5: \"match\" is ambiguous"},
	{"flow add f m=5", "2:3+1: \"m\" is ambiguous"},
};

static size_t describe_call(struct cli *cli, const struct call *call, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "%s", call->command->word[0]);
	json_t *value = NULL;
	char *json;

	if (call->command->word[1])
		used += (size_t)snprintf(text + used, size - used, " %s", call->command->word[1]);
	if (call->section)
		used += (size_t)snprintf(text + used, size - used, " %s", call->section);
	for (unsigned i = 0; i < call->n_args; i++) {
		if (strcmp(call->arg[i].name, "FIELD=VALUE") != 0)
			used += (size_t)snprintf(text + used, size - used, " %s:%s",
				call->arg[i].name, call->words[call->arg[i].word]);
		else if (!value)
			value = assign_value(cli, call);
	}
	for (unsigned i = 0; i < call->n_options; i++)
		used += (size_t)snprintf(text + used, size - used, " %s=%s",
			call->option[i].option->name, call->option[i].value);
	json = value ? json_dumps(value, 0) : NULL;
	if (json)
		used += (size_t)snprintf(text + used, size - used, " %s", json);
	free(json);
	json_decref(value);
	return used;
}

/* Status, blamed word and length, message, hint; the hint only when the case has one. */
static void describe_fault(
	const struct fault *fault, const struct call *call, bool hint, char *text, size_t size)
{
	const char *word = fault->word < call->n_words ? call->words[fault->word] : "";
	size_t length = fault->length ? fault->length : strlen(word + fault->offset);
	size_t used = (size_t)snprintf(text, size, "%d:%d+%zu: %s", (int)fault->status, fault->word,
		length, fault->message);

	if (hint)
		snprintf(text + used, size - used, " (%s)", fault->hint);
}

static int split_line(char *line, char **words)
{
	int n = 0;

	for (char *word = strtok(line, " "); word; word = strtok(NULL, " "))
		words[n++] = word;
	return n;
}

static void parse_one(const char *line, const char *meaning)
{
	struct cli cli = {.socket = "/nonexistent", .fault.word = FAULT_NO_WORD};
	json_t *schema = json_load_file(schema_path, 0, NULL);
	char copy[400], text[2000] = "", *words[WORDS_MAX];
	struct call call;

	cli.schema = json_incref(json_object_get(schema, "sections"));
	json_decref(schema);
	snprintf(copy, sizeof(copy), "%s", line);
	if (parse_words(&cli, split_line(copy, words), words, &call) == 0)
		describe_call(&cli, &call, text, sizeof(text));
	if (cli.fault.status)
		describe_fault(&cli.fault, &call, strchr(meaning, '(') != NULL, text, sizeof(text));
	if (strcmp(text, meaning) != 0)
		fail_msg("%s\n  is:     %s\n  should: %s", line, text, meaning);
	fault_clear(&cli.fault);
	cli_close(&cli);
}

static void test_lines(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		parse_one(cases[i].line, cases[i].meaning);
}

/* No line, however long or cut, may do more than be refused. */
static void test_prefixes_of_lines(void **state)
{
	struct cli cli = {.socket = "/nonexistent", .fault.word = FAULT_NO_WORD};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		for (size_t length = 1; length <= strlen(cases[i].line); length++) {
			char copy[400], *words[WORDS_MAX];
			struct choices choices = {0};
			int n;

			snprintf(copy, sizeof(copy), "%.*s", (int)length, cases[i].line);
			n = split_line(copy, words);
			parse_choices(&cli, n, words, &choices);
			choices_free(&choices);
			fault_clear(&cli.fault);
			cli_use_socket(&cli, "/nonexistent");
		}
	}
	cli_close(&cli);
}

static void test_too_many_words(void **state)
{
	struct cli cli = {.socket = "/nonexistent", .fault.word = FAULT_NO_WORD};
	char *words[2 * WORDS_MAX];
	struct call call;

	(void)state;
	for (size_t i = 0; i < 2 * WORDS_MAX; i++)
		words[i] = (char *)"help";
	assert_int_equal(parse_words(&cli, WORDS_MAX - 1, words, &call), 0);
	assert_int_not_equal(parse_words(&cli, WORDS_MAX, words, &call), 0);
	assert_int_equal(cli.fault.status, FAULT_USAGE);
}

/* The tables name only what exists. */
static void test_tables(void **state)
{
	(void)state;
	for (const struct command *command = commands; command->word[0]; command++) {
		const char *rest = command->arguments;
		struct place place;

		assert_true(command - commands < COMMANDS_MAX);
		assert_true(command->run || (command->method && command->print));
		while (place_next(&rest, &place)) {
			if (place.word[0] == '-')
				assert_non_null(grammar_option(place.word));
			else
				assert_non_null(grammar_argument(place.word));
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_prefixes_of_lines),
		cmocka_unit_test(test_too_many_words),
		cmocka_unit_test(test_tables),
	};

	if (argc != 2)
		return 2;
	schema_path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
