/*
 * Chains and flows on the control side. All of a change is one engine_steer(): programs, rules and
 * what the NFs of each service may name as destination. Initialised last but for statistics, so
 * that ports and services are there when it compiles.
 */
#include "modules/chain/chain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "modules/chain/compile.h"
#include "modules/nf/nf.h"
#include "modules/port/control.h"
#include "modules/stats/counters.h"

static struct engine *engine;

/* Which chain has which number, kept over changes: NFs see numbers. Place 0 means "no chain". */
static char *numbered[ENGINE_CHAINS_MAX + 1];

static int chain_init(struct manager *manager, struct error *error)
{
	(void)error;
	engine = manager->engine;
	return 0;
}

static void chain_fini(void)
{
	for (unsigned i = 1; i <= ENGINE_CHAINS_MAX; i++) {
		free(numbered[i]);
		numbered[i] = NULL;
	}
}

/* ---- numbers --------------------------------------------------------------------------------- */

static uint16_t chain_number(const char *name)
{
	for (unsigned i = 1; i <= ENGINE_CHAINS_MAX; i++)
		if (numbered[i] && strcmp(numbered[i], name) == 0)
			return (uint16_t)i;
	return 0;
}

static int give_number(const char *name, struct error *error)
{
	unsigned i = 1;

	if (chain_number(name))
		return 0;
	while (i <= ENGINE_CHAINS_MAX && numbered[i])
		i++;
	if (i > ENGINE_CHAINS_MAX)
		return error_set(error, ENOSPC, "chains", "at most 4096 chains", "too many chains");
	numbered[i] = strdup(name);
	return numbered[i] ? 0 : error_set(error, ENOMEM, "chains", "", "no memory");
}

static void drop_numbers(const json_t *document)
{
	for (unsigned i = 1; i <= ENGINE_CHAINS_MAX; i++) {
		if (!numbered[i] || document_object(document, "chains", numbered[i]))
			continue;
		free(numbered[i]);
		numbered[i] = NULL;
	}
}

static int chain_prepare(const struct change *change, struct error *error)
{
	const char *name;
	json_t *chain;
	int rc;

	json_object_foreach (json_object_get(change->new, "chains"), name, chain) {
		rc = give_number(name, error);
		if (rc)
			return rc;
	}
	return 0;
}

/* ---- grants ---------------------------------------------------------------------------------- */

/* Where the NFs of a service may send packets. */
struct grants {
	struct grant list[NETVM_DESTINATIONS_MAX];
	unsigned n;
};

static void add_grant(struct grants *grants, struct grant grant)
{
	if (!grant.port && !grant.service)
		return;
	for (unsigned i = 0; i < grants->n; i++)
		if (grants->list[i].port == grant.port && grants->list[i].service == grant.service)
			return;
	if (grants->n < NETVM_DESTINATIONS_MAX)
		grants->list[grants->n++] = grant;
}

static void grant_port(struct grants *grants, const char *name)
{
	add_grant(grants, (struct grant){.kind = NETVM_DESTINATION_PORT, .port = port_find(name)});
}

static bool calls(const json_t *chain, const char *service)
{
	const json_t *path = json_object_get(chain, "path");

	for (size_t i = 0; i < json_array_size(path); i++)
		if (strcmp(json_string_value(json_array_get(path, i)), service) == 0)
			return true;
	return false;
}

/* The ends of the chain and the other services on its way. */
static void grant_chain(struct grants *grants, const json_t *chain, const char *service)
{
	const json_t *path = json_object_get(chain, "path");

	grant_port(grants, value_text(chain, "from"));
	grant_port(grants, value_text(chain, "to"));
	for (size_t i = 0; i < json_array_size(path); i++) {
		const char *other = json_string_value(json_array_get(path, i));

		if (strcmp(other, service) != 0)
			add_grant(grants, (struct grant){.kind = NETVM_DESTINATION_SERVICE,
						  .service = nf_service(other)});
	}
}

static int grant_service(const json_t *document, const char *service, struct error *error)
{
	struct service *object = nf_service(service);
	struct grants grants = {.n = 0};
	const char *name;
	json_t *chain;

	json_object_foreach (json_object_get(document, "chains"), name, chain)
		if (calls(chain, service))
			grant_chain(&grants, chain, service);
	return object ? engine_service_grant(engine, object, grants.list, grants.n, error) : 0;
}

/* Also for services that are about to go: their grants must not name what goes with them. */
static int grant_all(const json_t *services_of, const json_t *document, struct error *error)
{
	const char *name;
	json_t *nf;
	int rc = 0;

	json_object_foreach (json_object_get(services_of, "nfs"), name, nf) {
		rc = grant_service(document, value_text(nf, "service"), error);
		if (rc)
			break;
	}
	return rc;
}

/* ---- commit ---------------------------------------------------------------------------------- */

static int steer(const json_t *document, struct error *error)
{
	static const struct plan_names names = {port_find, nf_service, chain_number};
	struct plan plan;
	int rc = plan_compile(document, &names, &plan);

	if (rc)
		return error_set(error, -rc, "chains", "", "no memory");
	rc = engine_steer(engine, plan.programs, plan.n_programs, plan.rules, plan.n_rules, error);
	plan_free(&plan);
	return rc;
}

static int chain_commit(const struct change *change, struct error *error)
{
	int rc = grant_all(change->old, change->new, error);

	if (rc == 0)
		rc = grant_all(change->new, change->new, error);
	return rc ? rc : steer(change->new, error);
}

static void chain_finish(const struct change *change)
{
	drop_numbers(change->new);
}

static void chain_abort(const struct change *change)
{
	drop_numbers(change->old);
}

/* ---- statistics ------------------------------------------------------------------------------ */

static void add_chain(json_t *list, const char *name)
{
	struct counters counters = {0};
	json_t *object;

	engine_chain_counters(engine, name, &counters);
	object = counters_value(&counters);
	json_object_set_new(object, "copied", json_integer((json_int_t)counters.copied));
	json_object_set_new(list, name, object);
}

static void chain_stats(json_t *stats)
{
	json_t *list = json_object();

	for (unsigned i = 1; i <= ENGINE_CHAINS_MAX; i++)
		if (numbered[i])
			add_chain(list, numbered[i]);
	json_object_set_new(stats, "chains", list);
}

const struct module chain_module = {
	.name = "chain",
	.after = (const char *const[]){"port", "nf", NULL},
	.sections = (const struct section *const[]){&chain_section, &flow_section, NULL},
	.init = chain_init,
	.fini = chain_fini,
	.check = chain_check,
	.prepare = chain_prepare,
	.commit = chain_commit,
	.finish = chain_finish,
	.abort = chain_abort,
	.stats = chain_stats,
};
