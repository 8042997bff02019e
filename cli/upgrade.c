/* `nf upgrade`: asks once, and waits until the daemon knows how it went. See actions.h. */
#include <errno.h>
#include <string.h>

#include "cli/actions.h"
#include "cli/fault.h"

#define PROBATION_S 5.0
#define WAIT_S      90 /* what the daemon may take besides the probation */

/* A name without a slash is looked up by the daemon, as in the field `command`. */
static int add_program(struct cli *cli, const char *binary, json_t *params)
{
	json_t *path = strchr(binary, '/') ? path_from_here(cli, binary) : json_string(binary);

	return path ? json_object_set_new(params, "binary", path) : -EINVAL;
}

static int params_upgrade(
	struct cli *cli, const struct call *call, double probation_s, json_t *params)
{
	const char *binary = call_option(call, "--binary");
	const char *command = call_option(call, "--command");
	const char *image = call_option(call, "--image");
	json_t *path;

	if (!binary + !command + !image != 2)
		return fault_usage(&cli->fault, call->n_words, 0, 0,
			"valid: --binary, --command, or --image for a guest",
			"say what is new, by one option");
	params_nf(cli, call, params);
	json_object_set_new(
		params, "probation_ms", json_integer((json_int_t)(probation_s * 1000 + 0.5)));
	if (command)
		json_object_set_new(params, "command", json_string(command));
	if (binary && add_program(cli, binary, params))
		return -EINVAL;
	if (!image)
		return 0;
	path = path_from_here(cli, image);
	return path ? json_object_set_new(params, "image", path) : -EINVAL;
}

static void print_upgraded(struct cli *cli, const struct call *call, const json_t *result)
{
	json_int_t state = json_integer_value(json_object_get(result, "state_bytes"));

	if (json_array_size(json_object_get(result, "changes")) > 0)
		print_changes(cli, call, result);
	fputs("upgraded", cli->out);
	if (state > 0)
		fprintf(cli->out, "; %" JSON_INTEGER_FORMAT " bytes of state handed over", state);
	fputc('\n', cli->out);
}

int run_upgrade(struct cli *cli, const struct call *call)
{
	json_t *params = json_object();
	double probation_s;
	json_t *result;

	if (call_option_number(cli, call, "--probation", 0, PROBATION_S, &probation_s) ||
		params_upgrade(cli, call, probation_s, params)) {
		json_decref(params);
		return -EINVAL;
	}
	result = cli_ask_within(cli, "nf.upgrade", params, (int)((probation_s + WAIT_S) * 1000));
	if (!result)
		return -EIO;
	if (cli->json)
		print_json(cli, result);
	else
		print_upgraded(cli, call, result);
	json_decref(result);
	return 0;
}
