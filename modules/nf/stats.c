/* How one NF fares, for stats.get and nf.show. See instance.h. */
#include "manager/module.h"
#include "modules/nf/instance.h"
#include "modules/stats/counters.h"

static void put(json_t *object, const char *name, uint64_t value)
{
	json_object_set_new(object, name, json_integer((json_int_t)value));
}

static void load_put(json_t *object, const struct nf_instance *instance)
{
	struct nf_load load = {0};

	if (instance->session)
		engine_nf_load(instance->manager->engine, session_nf(instance->session), &load);
	put(object, "ring_depth", load.rx_ring_depth);
	put(object, "ring_words", load.rx_ring_words);
	put(object, "owned_pkts", load.owned_pkts);
	put(object, "stock", load.stock);
}

void counters_add(struct counters *sum, const struct counters *more)
{
	sum->rx_pkts += more->rx_pkts;
	sum->rx_bytes += more->rx_bytes;
	sum->tx_pkts += more->tx_pkts;
	sum->tx_bytes += more->tx_bytes;
	sum->rx_bursts += more->rx_bursts;
	sum->tx_bursts += more->tx_bursts;
	sum->injected += more->injected;
	sum->consumed += more->consumed;
	sum->wakeups += more->wakeups;
	sum->violations += more->violations;
	for (unsigned i = 0; i < DROP_REASONS; i++)
		sum->drops[i] += more->drops[i];
}

bool instance_stands_by(const struct nf_instance *instance)
{
	return instance->session && engine_nf_stands_by(session_nf(instance->session));
}

static void add_session(struct counters *sum, const struct nf_instance *instance)
{
	struct counters counters;

	if (!instance->session)
		return;
	engine_nf_counters(instance->manager->engine, session_nf(instance->session), &counters);
	counters_add(sum, &counters);
}

static json_t *condition(const struct nf_instance *instance)
{
	pid_t pid = instance->session ? session_pid(instance->session) : instance->child.pid;
	json_t *object = json_object();

	json_object_set_new(object, "state", json_string(nf_state_name(instance->state)));
	json_object_set_new(object, "standby", json_boolean(instance_stands_by(instance)));
	json_object_set_new(object, "pid", pid ? json_integer(pid) : json_null());
	put(object, "restarts", instance->restarts);
	json_object_set_new(object, "last_exit", json_string(instance->last_exit));
	json_object_set_new(object, "crash", crash_value(&instance->crash));
	return object;
}

json_t *instance_shown(const struct nf_instance *instance)
{
	json_t *object = json_copy(instance->settings.object);

	json_object_set_new(object, "now", condition(instance));
	return object;
}

json_t *instance_stats(const struct nf_instance *instance)
{
	const struct nf_settings *settings = &instance->settings;
	struct counters sum = {0};
	json_t *object;

	add_session(&sum, instance);
	if (instance->predecessor)
		add_session(&sum, instance->predecessor);
	counters_add(&sum, &instance->past);
	object = counters_value(&sum);
	put(object, "injected", sum.injected);
	put(object, "consumed", sum.consumed);
	put(object, "wakeups", sum.wakeups);
	put(object, "violations", sum.violations);
	json_object_set_new(object, "service", json_string(settings->service));
	json_object_set_new(object, "group", json_string(settings->group));
	json_object_set(object, "image", json_object_get(settings->object, "image"));
	json_object_update_new(object, condition(instance));
	load_put(object, instance);
	return object;
}
