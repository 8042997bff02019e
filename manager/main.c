/* netvmd: reads the command line; the rest is daemon.c. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "manager/daemon.h"

static const char usage[] =
	"Usage: netvmd [OPTION]...\n"
	"The NetVM daemon: moves packets between ports and network functions. Runs in the\n"
	"foreground until SIGTERM or SIGINT; talk to it with netvm(1).\n"
	"\n"
	"  --config FILE      start with this document (and save to it); default: the one\n"
	"                     saved in the state folder, or none\n"
	"  --run-dir DIR      folder of the sockets (/run/netvm)\n"
	"  --state-dir DIR    folder of the saved document (/var/lib/netvm)\n"
	"  --api-socket PATH  socket of the API (RUN-DIR/api.sock)\n"
	"  --nf-socket PATH   socket that NFs attach to (RUN-DIR/nf.sock)\n"
	"  --user NAME        become this user when started as root; default: netvm if there\n"
	"                     is one; root: stay root\n"
	"  --replace          take over from the daemon that runs, with its NFs: see netvm(1),\n"
	"                     daemon restart\n"
	"  --ready-fd N       write READY to this descriptor when traffic may flow, or FAILED\n"
	"                     and why\n"
	"  --check            check the document and exit\n"
	"  --version          print the version and exit\n"
	"  --help             print this and exit\n";

enum option_code {
	CONFIG = 256,
	RUN_DIR,
	STATE_DIR,
	API_SOCKET,
	NF_SOCKET,
	RUN_AS,
	REPLACE,
	READY_FD,
	CHECK,
	VERSION,
	HELP
};

static const struct option long_options[] = {
	{"config", required_argument, NULL, CONFIG},
	{"run-dir", required_argument, NULL, RUN_DIR},
	{"state-dir", required_argument, NULL, STATE_DIR},
	{"api-socket", required_argument, NULL, API_SOCKET},
	{"nf-socket", required_argument, NULL, NF_SOCKET},
	{"user", required_argument, NULL, RUN_AS},
	{"replace", no_argument, NULL, REPLACE},
	{"ready-fd", required_argument, NULL, READY_FD},
	{"check", no_argument, NULL, CHECK},
	{"version", no_argument, NULL, VERSION},
	{"help", no_argument, NULL, HELP},
	{0},
};

static _Noreturn void refuse(const char *what, const char *value)
{
	fprintf(stderr, "netvmd: %s%s\nTry netvmd --help.\n", what, value);
	exit(2);
}

static int read_fd(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || number > 65535)
		refuse("--ready-fd wants the number of a descriptor, not ", text);
	return (int)number;
}

static void print_and_exit(const char *text)
{
	fputs(text, stdout);
	exit(EXIT_SUCCESS);
}

/* Returns whether only a check is wanted. */
static bool read_options(int argc, char **argv, struct daemon_options *options)
{
	bool check = false;
	int code;

	while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (code) {
		case CONFIG:
			options->config = optarg;
			break;
		case RUN_DIR:
			options->run_dir = optarg;
			break;
		case STATE_DIR:
			options->state_dir = optarg;
			break;
		case API_SOCKET:
			options->api_socket = optarg;
			break;
		case NF_SOCKET:
			options->nf_socket = optarg;
			break;
		case RUN_AS:
			options->user = optarg;
			break;
		case REPLACE:
			options->replace = true;
			break;
		case READY_FD:
			options->ready_fd = read_fd(optarg);
			break;
		case CHECK:
			check = true;
			break;
		case VERSION:
			print_and_exit("netvmd " NETVM_VERSION "\n");
			break;
		case HELP:
			print_and_exit(usage);
			break;
		default:
			fputs("netvmd: --help lists the options\n", stderr);
			exit(2); /* getopt_long() said what is wrong */
		}
	}
	if (optind < argc)
		refuse("nothing is wanted behind the options: ", argv[optind]);
	return check;
}

int main(int argc, char **argv)
{
	struct daemon_options options = {
		.run_dir = "/run/netvm", .state_dir = "/var/lib/netvm", .ready_fd = -1};

	return read_options(argc, argv, &options) ? daemon_check(&options) : daemon_run(&options);
}
