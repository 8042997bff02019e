/* The methods of this folder as remote calls: one table, and those that have no file of their own.
 */
#include "manager/module.h"
#include "modules/nf/control.h"
#include "modules/nf/instance.h"
#include "modules/nf/suspects.h"
#include "modules/nf/upgrade.h"

/* The one that a method is about. */
static int named(const json_t *params, struct nf_instance **instance, struct error *error)
{
	const char *name = value_text(params, "name");

	*instance = nf_current(name);
	return *instance ? 0 : nf_unknown(name, error);
}

static int nf_restart(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	const char *name = value_text(params, "name");
	struct nf_instance *instance;
	int rc = named(params, &instance, error);

	(void)request;
	if (rc)
		return rc;
	rc = upgrade_check(instance, error);
	if (rc)
		return rc;
	if (instance->settings.external)
		rc = instance_dismiss(instance, error);
	else
		rc = nf_replace(instance, error);
	if (rc)
		return rc;
	instance = nf_current(name);
	*result = json_pack("{s:s, s:s}", "name", name, "state", nf_state_name(instance->state));
	return 0;
}

static int nf_show(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	struct nf_instance *instance;
	int rc;

	(void)request;
	if (!value_text(params, "name")) {
		*result = nf_describe_all(instance_shown);
		return 0;
	}
	rc = named(params, &instance, error);
	if (!rc)
		*result = instance_shown(instance);
	return rc;
}

static int nf_guest_show(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	struct nf_instance *instance;
	int rc = named(params, &instance, error);

	(void)request;
	return rc ? rc : guest_show(instance->manager, &instance->settings, result, error);
}

static int nf_guest_migrate(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	struct nf_instance *instance;
	int rc = named(params, &instance, error);

	(void)request;
	if (!rc)
		rc = instance_move(instance, error);
	if (!rc)
		*result = json_pack("{s:s, s:i}", "name", instance->settings.name, "from_pid",
			(int)instance->child.pid);
	return rc;
}

static const struct field name_params[] = {
	{"name", FIELD_NAME, .required = true, .help = "Which NF"}, {}};
static const struct field show_params[] = {
	{"name", FIELD_NAME, .help = "Which NF; all when it is not given"}, {}};
const struct rpc_method nf_methods[] = {
	{"nf.restart", name_params,
		"Replace an NF by a fresh one without losing packets; ask an external one to go",
		nf_restart, ROLE_OPERATE},
	{"nf.upgrade", upgrade_params,
		"Another program for an NF without losing packets; the one before comes back when "
		"it fails",
		upgrade_call, ROLE_ADMIN},
	{"nf.show", show_params,
		"Settings of an NF, and how it is now: state, restarts, crashes and their reason",
		nf_show, ROLE_VIEW},
	{"guard.show", NULL, "Flows that were in the hands of NFs that crashed", guard_show,
		ROLE_VIEW},
	{"guard.clear", NULL, "Forget these flows and let them through again", guard_clear,
		ROLE_OPERATE},
	{"guest.migrate", name_params,
		"Move a guest of a pool to another QEMU while it runs, losing no packet it has",
		nf_guest_migrate, ROLE_OPERATE},
	{"guest.show", name_params, "QEMU's command line of a guest, and its devices for libvirt",
		nf_guest_show, ROLE_VIEW},
	{}};
