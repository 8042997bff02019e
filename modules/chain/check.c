/*
 * Rules about chains and flows that the schema cannot say. Works on documents alone: called before
 * anything exists.
 */
#include "modules/chain/chain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manager/schema_types.h"
#include "modules/chain/match.h"

#define SERVICES_SHOWN 32

enum reverse chain_reverse(const json_t *chain)
{
	const char *word = value_text(chain, "reverse");

	return strcmp(word, "none") == 0   ? REVERSE_NONE
	       : strcmp(word, "same") == 0 ? REVERSE_SAME
					   : REVERSE_MIRROR;
}

enum on_failure chain_on_failure(const json_t *chain)
{
	const char *word = value_text(chain, "on_failure");

	return strcmp(word, "open") == 0   ? ON_FAILURE_OPEN
	       : strcmp(word, "hold") == 0 ? ON_FAILURE_HOLD
					   : ON_FAILURE_CLOSED;
}

bool chain_is_default(const json_t *document, const char *name, const json_t *chain)
{
	const json_t *said = json_object_get(chain, "default");
	const char *flow_name, *named;
	json_t *flow;

	if (json_is_boolean(said))
		return json_is_true(said);
	json_object_foreach (json_object_get(document, "flows"), flow_name, flow) {
		named = value_text(flow, "chain");
		if (named && strcmp(named, name) == 0)
			return false;
	}
	return true;
}

/* That of an NF which provides it. NULL: none provides it. */
static const char *service_group(const json_t *document, const char *service)
{
	const char *name;
	json_t *nf;

	json_object_foreach (json_object_get(document, "nfs"), name, nf)
		if (strcmp(value_text(nf, "service"), service) == 0)
			return value_text(nf, "group");
	return NULL;
}

static const char *port_group(const json_t *document, const char *port)
{
	return value_text(document_object(document, "ports", port), "group");
}

/* Puts "SECTION.NAME" in front of the path. */
static int located(struct error *error, const char *section, const char *name, int rc)
{
	if (rc) {
		error_prefix(error, name);
		error_prefix(error, section);
	}
	return rc;
}

/* ---- one chain ------------------------------------------------------------------------------- */

static bool is_among(const char *const *names, const char *name)
{
	while (*names && strcmp(*names, name) != 0)
		names++;
	return *names != NULL;
}

static int no_such_service(
	const json_t *document, const char *service, const char *path, struct error *error)
{
	const char *known[SERVICES_SHOWN + 1] = {NULL}, *name;
	char all[200], hint[ERROR_HINT_BYTES];
	unsigned n = 0;
	json_t *nf;

	json_object_foreach (json_object_get(document, "nfs"), name, nf)
		if (n < SERVICES_SHOWN && !is_among(known, value_text(nf, "service")))
			known[n++] = value_text(nf, "service");
	schema_join(known, all, sizeof(all));
	snprintf(hint, sizeof(hint), "services of the NFs there are: %s", n ? all : "none");
	return error_set(error, ENOENT, path, hint, "no NF provides the service \"%s\"", service);
}

static bool is_in(const json_t *path, size_t end, const char *service)
{
	for (size_t i = 0; i < end; i++)
		if (strcmp(json_string_value(json_array_get(path, i)), service) == 0)
			return true;
	return false;
}

static int check_path(const json_t *document, const json_t *path, struct error *error)
{
	for (size_t i = 0; i < json_array_size(path); i++) {
		const char *service = json_string_value(json_array_get(path, i));
		char place[32];

		snprintf(place, sizeof(place), "path.%zu", i);
		if (!service_group(document, service))
			return no_such_service(document, service, place, error);
		if (is_in(path, i, service))
			return error_set(error, ELOOP, place, "each service at most once",
				"the service \"%s\" is in the path twice: a loop", service);
	}
	return 0;
}

static int check_border(const char *before, const char *after, const char *what, const char *name,
	struct error *error)
{
	if (strcmp(before, after) == 0)
		return 0;
	return error_set(error, EXDEV, "cross_groups",
		"cross_groups: true copies the packets there; or use one group",
		"%s %s is in group %s, what is before it in group %s", what, name, after, before);
}

static int check_groups(const json_t *document, const json_t *chain, struct error *error)
{
	const json_t *path = json_object_get(chain, "path");
	const char *to = value_text(chain, "to");
	const char *before = port_group(document, value_text(chain, "from"));
	int rc = 0;

	if (value_bool(chain, "cross_groups"))
		return 0;
	for (size_t i = 0; rc == 0 && i < json_array_size(path); i++) {
		const char *service = json_string_value(json_array_get(path, i));
		const char *group = service_group(document, service);

		rc = check_border(before, group, "service", service, error);
		before = group;
	}
	return rc ? rc : check_border(before, port_group(document, to), "port", to, error);
}

static int check_ends(const json_t *chain, struct error *error)
{
	if (strcmp(value_text(chain, "from"), value_text(chain, "to")) != 0 ||
		chain_reverse(chain) == REVERSE_NONE)
		return 0;
	return error_set(error, EINVAL, "reverse", "reverse: none, or another port",
		"a chain back to the port it starts at has no reverse direction");
}

static bool has_standby(const json_t *document, const char *service)
{
	const char *name;
	json_t *nf;

	json_object_foreach (json_object_get(document, "nfs"), name, nf)
		if (strcmp(value_text(nf, "service"), service) == 0 && value_bool(nf, "standby"))
			return true;
	return false;
}

/* A chain that relies on stand-ins has one for each service. */
static int check_standby(const json_t *document, const json_t *chain, struct error *error)
{
	const json_t *path = json_object_get(chain, "path");

	for (size_t i = 0; i < json_array_size(path); i++) {
		const char *service = json_string_value(json_array_get(path, i));
		char hint[ERROR_HINT_BYTES];

		if (strcmp(value_text(chain, "on_failure"), "standby") != 0 ||
			has_standby(document, service))
			continue;
		snprintf(hint, sizeof(hint), "another NF with service: %s and standby: true",
			service);
		return error_set(error, EINVAL, "on_failure", hint,
			"no NF stands by for the service \"%s\"", service);
	}
	return 0;
}

static int check_chain(const json_t *document, const json_t *chain, struct error *error)
{
	int rc = check_ends(chain, error);

	if (rc == 0)
		rc = check_path(document, json_object_get(chain, "path"), error);
	if (rc == 0)
		rc = check_standby(document, chain, error);
	return rc ? rc : check_groups(document, chain, error);
}

/* ---- default chains -------------------------------------------------------------------------- */

/* `taken`: which default chain takes a port's packets. */
static int take_port(json_t *taken, const char *port, const char *chain, struct error *error)
{
	const char *other = json_string_value(json_object_get(taken, port));

	if (other)
		return error_set(error, EEXIST, "default",
			"choose one by flows, or say default: false (a reverse direction counts, "
			"too)",
			"chain %s takes everything from port %s already", other, port);
	json_object_set_new(taken, port, json_string(chain));
	return 0;
}

static int take_ports(const json_t *document, json_t *taken, const char *name, const json_t *chain,
	struct error *error)
{
	int rc;

	if (!chain_is_default(document, name, chain))
		return 0;
	rc = take_port(taken, value_text(chain, "from"), name, error);
	if (rc == 0 && chain_reverse(chain) != REVERSE_NONE)
		rc = take_port(taken, value_text(chain, "to"), name, error);
	return rc;
}

/* ---- one flow -------------------------------------------------------------------------------- */

static int check_target(const json_t *flow, struct error *error)
{
	int n = !!value_text(flow, "chain") + !!value_text(flow, "port") + value_bool(flow, "drop");

	if (n == 1)
		return 0;
	return error_set(error, EINVAL, "", "exactly one of chain, port or drop: true",
		n ? "the flow says more than one thing to do" : "the flow does not say what to do");
}

static int check_in_port(const json_t *document, const json_t *flow, struct error *error)
{
	const char *in_port = value_text(json_object_get(flow, "match"), "in_port");
	const char *chain = value_text(flow, "chain");
	const char *from =
		chain ? value_text(document_object(document, "chains", chain), "from") : NULL;

	if (!in_port || !chain || strcmp(in_port, from) == 0)
		return 0;
	return error_set(error, EINVAL, "match.in_port", "leave it out, or name the chain's `from`",
		"chain %s takes packets from port %s, not from %s", chain, from, in_port);
}

/* A flow to a port cannot allow copying, so it must stay within a group. */
static int check_port_group(const json_t *document, const json_t *flow, struct error *error)
{
	const char *in_port = value_text(json_object_get(flow, "match"), "in_port");
	const char *to = value_text(flow, "port"), *name;
	json_t *port;

	if (!to)
		return 0;
	json_object_foreach (json_object_get(document, "ports"), name, port) {
		if ((in_port && strcmp(in_port, name) != 0) ||
			strcmp(value_text(port, "group"), port_group(document, to)) == 0)
			continue;
		return error_set(error, EXDEV, "port",
			"match.in_port of the same group, or a chain with cross_groups: true",
			"port %s is of another group than port %s", name, to);
	}
	return 0;
}

static int check_flow(const json_t *document, const json_t *flow, struct error *error)
{
	struct match match;
	int rc = match_read(json_object_get(flow, "match"), &match, error);

	if (rc) {
		error_prefix(error, "match");
		return rc;
	}
	rc = check_target(flow, error);
	if (rc == 0)
		rc = check_in_port(document, flow, error);
	return rc ? rc : check_port_group(document, flow, error);
}

/* ---- all ------------------------------------------------------------------------------------- */

static int check_chains(const json_t *document, json_t *taken, struct error *error)
{
	const char *name;
	json_t *chain;

	json_object_foreach (json_object_get(document, "chains"), name, chain) {
		int rc = check_chain(document, chain, error);

		if (rc == 0)
			rc = take_ports(document, taken, name, chain, error);
		if (rc)
			return located(error, "chains", name, rc);
	}
	return 0;
}

int chain_check(const struct change *change, struct error *error)
{
	json_t *taken = json_object();
	int rc = check_chains(change->new, taken, error);
	const char *name;
	json_t *flow;

	json_decref(taken);
	if (rc)
		return rc;
	json_object_foreach (json_object_get(change->new, "flows"), name, flow) {
		rc = check_flow(change->new, flow, error);
		if (rc)
			return located(error, "flows", name, rc);
	}
	return 0;
}
