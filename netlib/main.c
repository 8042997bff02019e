/*
 * netvm_main(): the arguments every NF understands around netvm_run() and netvm_replay().
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <netvm.h>
#include <netvm/abi/socket.h>

#include "failure.h"

#define EXIT_USAGE 2

static const char help[] =
	"Arguments of every NetVM network function:\n"
	"  --name NAME       attach under this name (default: $NETVM_NAME, else the program's)\n"
	"  --service NAME    its role in chains (default: $NETVM_SERVICE, else as declared)\n"
	"  --socket PATH     the daemon's socket, or \"pci\": this is a guest (default: "
	"$NETVM_SOCKET,\n"
	"                    else " NETVM_SOCKET_DEFAULT ", else pci where it has devices)\n"
	"  --queues N        threads with a queue of their own, 1 to 8\n"
	"  --busy            poll for packets, never sleep\n"
	"  --wait            wait for a daemon, or a guest's devices, that come later or again\n"
	"                    (default: $NETVM_WAIT=1)\n"
	"  --replay IN[,OUT] run on the packets of a pcap file, without a daemon\n"
	"  --help            this text\n";

struct arguments {
	struct netvm_options options;
	char *replay_in;
	char *replay_out;
	bool help;
};

static int set_name(struct arguments *arguments, char *value)
{
	arguments->options.name = value;
	return 0;
}

static int set_service(struct arguments *arguments, char *value)
{
	arguments->options.service = value;
	return 0;
}

static int set_socket(struct arguments *arguments, char *value)
{
	arguments->options.socket = value;
	return 0;
}

static int set_queues(struct arguments *arguments, char *value)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (*value == '\0' || *end != '\0' || n < 1 || n > NETVM_QUEUES_MAX)
		return failure_set(EINVAL, "--queues: '%s' is not a number from 1 to %u", value,
			NETVM_QUEUES_MAX);
	arguments->options.n_queues = (unsigned)n;
	return 0;
}

static int set_replay(struct arguments *arguments, char *value)
{
	arguments->replay_in = strsep(&value, ",");
	arguments->replay_out = value;
	return 0;
}

static int set_busy(struct arguments *arguments, char *value)
{
	(void)value;
	arguments->options.busy = true;
	return 0;
}

static int set_wait(struct arguments *arguments, char *value)
{
	(void)value;
	arguments->options.wait = true;
	return 0;
}

static int set_help(struct arguments *arguments, char *value)
{
	(void)value;
	arguments->help = true;
	return 0;
}

static const struct argument {
	const char *name;
	bool has_value;
	int (*set)(struct arguments *arguments, char *value);
} known[] = {
	{"--name", true, set_name},
	{"--service", true, set_service},
	{"--socket", true, set_socket},
	{"--queues", true, set_queues},
	{"--replay", true, set_replay},
	{"--busy", false, set_busy},
	{"--wait", false, set_wait},
	{"--help", false, set_help},
};

/* "--name VALUE" or "--name=VALUE" at argv[*i]; *i moves to the last word used. */
static int parse_known(
	const struct argument *argument, char **argv, int *i, struct arguments *arguments)
{
	char *value = argv[*i] + strlen(argument->name);

	if (argument->has_value && *value == '=')
		value++;
	else if (argument->has_value)
		value = argv[++*i];
	if (argument->has_value && !value)
		return failure_set(EINVAL, "%s: a value is missing", argument->name);
	return argument->set(arguments, value);
}

static bool is_argument(const struct argument *argument, const char *text)
{
	size_t length = strlen(argument->name);

	return strncmp(text, argument->name, length) == 0 &&
	       (text[length] == '\0' || (argument->has_value && text[length] == '='));
}

static const struct argument *find(const char *text)
{
	for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
		if (is_argument(&known[k], text))
			return &known[k];
	return NULL;
}

static int refuse(const char *text)
{
	const size_t n = sizeof(known) / sizeof(known[0]);
	char valid[128] = "";
	size_t used = 0;

	for (size_t k = 0; k < n; k++)
		used += (size_t)snprintf(valid + used, sizeof(valid) - used, " %s", known[k].name);
	return failure_set(EINVAL, "%s: unknown argument; valid:%s", text, valid);
}

/* What follows "--" belongs to the NF. */
static int parse(char **argv, struct arguments *arguments)
{
	for (int i = 1; argv[i] && strcmp(argv[i], "--") != 0; i++) {
		const struct argument *argument = find(argv[i]);
		int result =
			argument ? parse_known(argument, argv, &i, arguments) : refuse(argv[i]);

		if (result < 0)
			return result;
	}
	return 0;
}

static int replay(const struct arguments *arguments)
{
	struct netvm_replay_result r;
	int result =
		netvm_replay(&arguments->options, arguments->replay_in, arguments->replay_out, &r);

	if (result < 0)
		return result;
	printf("received %llu, injected %llu = sent %llu, dropped %llu, consumed %llu, "
	       "in flight %llu; malformed records %llu, refused words %llu\n",
		(unsigned long long)r.received, (unsigned long long)r.injected,
		(unsigned long long)r.sent, (unsigned long long)r.dropped,
		(unsigned long long)r.consumed, (unsigned long long)r.in_flight,
		(unsigned long long)r.malformed, (unsigned long long)r.refused);
	return result;
}

int netvm_main(int argc, char **argv, const struct netvm_options *options)
{
	struct arguments arguments = {.options = *options};
	const char *program = argc > 0 ? argv[0] : "nf";
	int result = argc > 0 ? parse(argv, &arguments) : 0;

	arguments.options.reattach = true;
	if (result < 0) {
		fprintf(stderr, "%s: %s\n", program, netvm_error());
		return EXIT_USAGE;
	}
	if (arguments.help) {
		fputs(help, stdout);
		return EXIT_SUCCESS;
	}
	result = arguments.replay_in ? replay(&arguments) : netvm_run(&arguments.options);
	if (result < 0)
		fprintf(stderr, "%s: %s\n", program, netvm_error());
	return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
