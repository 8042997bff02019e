/* The packet guard for people. See suspects.h. */
#include "modules/nf/suspects.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>

#include "engine/engine.h"
#include "manager/events.h"
#include "manager/module.h"

#define REFRESH_S 1

static const struct manager *manager;
static struct event *timer; /* pending as long as there are suspects */

/* ---- words ----------------------------------------------------------------------------------- */

#define END_BYTES (INET6_ADDRSTRLEN + 8)

/* "10.0.0.1:53", "[2001:db8::1]:53". */
static void end_write(
	char text[END_BYTES], uint8_t family, const uint8_t address[16], uint16_t port)
{
	char ip[INET6_ADDRSTRLEN] = "";

	if (family == 4)
		inet_ntop(AF_INET, address + 12, ip, sizeof(ip));
	else
		inet_ntop(AF_INET6, address, ip, sizeof(ip));
	snprintf(text, END_BYTES, family == 4 ? "%s:%u" : "[%s]:%u", ip, port);
}

#define FLOW_BYTES (2 * END_BYTES + 32)

static void flow_write(char text[FLOW_BYTES], const struct netvm_flow_key *key)
{
	char src[END_BYTES], dst[END_BYTES];

	if (key->family == 0) {
		snprintf(text, FLOW_BYTES, "all of Ethernet type 0x%04x", key->eth_type);
		return;
	}
	end_write(src, key->family, key->src, key->src_port);
	end_write(dst, key->family, key->dst, key->dst_port);
	snprintf(text, FLOW_BYTES, "%s to %s protocol %u", src, dst, key->protocol);
}

static const char *action(const struct suspect *suspect)
{
	return suspect->bypassed ? "bypass" : suspect->guarded ? "drop" : "none";
}

/* ---- time ------------------------------------------------------------------------------------ */

static void keep_time(void)
{
	const struct timeval period = {REFRESH_S, 0};
	struct suspect first;

	if (engine_suspects(manager->engine, &first, 1) > 0)
		event_add(timer, &period);
}

static void refresh(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	engine_suspects_refresh(manager->engine);
	keep_time();
}

int suspects_open(const struct manager *of, struct error *error)
{
	manager = of;
	timer = evtimer_new(manager->base, refresh, NULL);
	return timer ? 0 : error_set(error, ENOMEM, "", "", "no memory for the packet guard");
}

void suspects_close(void)
{
	event_free(timer);
	timer = NULL;
}

void suspects_tell(void)
{
	struct suspect suspect;
	char flow[FLOW_BYTES];

	while (engine_suspect_news(manager->engine, &suspect)) {
		flow_write(flow, &suspect.key);
		events_add("nf-guard", "", "%s by port %s was in %u crashes of service %s: %s",
			flow, suspect.in_port, suspect.n_crashes, suspect.service,
			suspect.bypassed ? "it bypasses the service" : "it is dropped");
	}
	keep_time();
}

/* ---- methods --------------------------------------------------------------------------------- */

static json_t *value_of(const struct suspect *suspect)
{
	char flow[FLOW_BYTES];

	flow_write(flow, &suspect->key);
	return json_pack("{s:s s:s s:s s:i s:I s:s}", "flow", flow, "in_port", suspect->in_port,
		"service", suspect->service, "crashes", (int)suspect->n_crashes, "age_ms",
		(json_int_t)suspect->age_ms, "action", action(suspect));
}

int guard_show(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	static struct suspect list[SUSPECTS_MAX];
	unsigned n = engine_suspects(manager->engine, list, SUSPECTS_MAX);
	json_t *flows = json_array();

	(void)request;
	(void)params;
	(void)error;
	for (unsigned i = 0; i < n; i++)
		json_array_append_new(flows, value_of(&list[i]));
	*result = json_pack("{s:o}", "flows", flows);
	return 0;
}

int guard_clear(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error)
{
	(void)request;
	(void)params;
	(void)error;
	engine_suspects_clear(manager->engine);
	*result = json_object();
	return 0;
}
