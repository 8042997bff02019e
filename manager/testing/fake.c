/* Test doubles: see fake.h. */
#include "manager/testing/fake.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/module.h"
#include "modules/group/group.h"
#include "modules/nf/nf.h"

struct fake fake;

struct engine {
	int unused;
};

struct service {
	struct service *next;
	struct buffer_pool *pool;
	uint32_t number;
	char name[NETVM_NAME_BYTES];
};

/* ---- engine ---------------------------------------------------------------------------------- */

unsigned engine_n_workers(const struct engine *engine)
{
	(void)engine;
	return 1;
}

int buffer_pool_create(
	const struct buffer_pool_options *options, struct buffer_pool **pool, struct error *error)
{
	if (options->huge_pages == 1)
		return error_set(error, ENOMEM, "huge_pages", "auto", "no huge pages here");
	*pool = calloc(1, sizeof(**pool));
	(*pool)->n_buffers = options->n_buffers;
	(*pool)->stride = options->buffer_bytes;
	snprintf((*pool)->name, sizeof((*pool)->name), "%s", options->name);
	fake.n_pools++;
	return 0;
}

void buffer_pool_destroy(struct buffer_pool *pool)
{
	if (pool)
		fake.n_pools--;
	free(pool);
}

int engine_pool_attach(struct engine *engine, struct buffer_pool *pool, struct error *error)
{
	(void)engine, (void)pool, (void)error;
	fake.n_attached++;
	return 0;
}

void engine_pool_detach(struct engine *engine, struct buffer_pool *pool)
{
	(void)engine, (void)pool;
	fake.n_attached--;
}

int engine_port_attach(struct engine *engine, struct port *port, struct error *error)
{
	(void)engine, (void)error;
	port->number = (uint16_t)++fake.n_opened;
	return 0;
}

void engine_port_detach(struct engine *engine, struct port *port)
{
	(void)engine, (void)port;
}

void engine_port_quiet(struct engine *engine, struct port *port)
{
	(void)engine, (void)port;
}

void engine_port_set_up(struct engine *engine, struct port *port, bool up)
{
	(void)engine, (void)port, (void)up;
}

int engine_service_grant(struct engine *engine, struct service *service, const struct grant *grants,
	unsigned n, struct error *error)
{
	(void)engine, (void)error;
	memcpy(fake.grants[service->number % 16], grants, n * sizeof(*grants));
	fake.n_grants[service->number % 16] = n;
	return 0;
}

uint32_t service_number(const struct service *service)
{
	return service->number;
}

static void *copy(const void *from, size_t bytes)
{
	void *to = malloc(bytes + 1);

	memcpy(to, from, bytes);
	return to;
}

int engine_steer(struct engine *engine, const struct program_options *programs, unsigned n_programs,
	const struct rule *rules, unsigned n_rules, struct error *error)
{
	(void)engine;
	usleep(1000 * fake.steer_ms);
	if (fake.steer_fails)
		return error_set(error, E2BIG, "flows", "fewer flows", "the classifier is full");
	fake_reset();
	fake.programs = copy(programs, n_programs * sizeof(*programs));
	fake.n_programs = n_programs;
	fake.rules = copy(rules, n_rules * sizeof(*rules));
	fake.n_rules = n_rules;
	fake.n_steered++;
	return 0;
}

void engine_port_counters(struct engine *engine, const struct port *port, struct counters *counters)
{
	(void)engine, (void)port;
	counters->rx_pkts = 7;
	counters->drops[DROP_NO_FLOW] = 2;
}

void engine_chain_counters(struct engine *engine, const char *name, struct counters *counters)
{
	(void)engine, (void)name;
	counters->tx_pkts = 5;
}

void engine_books(struct engine *engine, struct books *books)
{
	(void)engine;
	*books = (struct books){.received = 7, .sent = 5, .dropped = 2, .balanced = true};
	books->drops[DROP_NO_FLOW] = 2;
}

int engine_trace_start(
	struct engine *engine, const struct trace_options *options, struct error *error)
{
	(void)engine;
	if (fake.trace_on)
		return error_set(error, EBUSY, "", "wait for its end", "another trace is on");
	fake.trace_options = *options;
	fake.trace_on = true;
	return 0;
}

bool engine_trace_done(const struct engine *engine)
{
	(void)engine;
	return fake.trace_done;
}

struct trace *engine_trace_stop(struct engine *engine)
{
	unsigned n = fake.trace_options.n_pkts;
	struct trace *trace = calloc(1, sizeof(*trace) + n * sizeof(trace->packet[0]));

	(void)engine;
	trace->n_pkts_max = n;
	if (fake.trace_fill)
		fake.trace_fill(trace);
	fake.trace_on = false;
	return trace;
}

void engine_worker_info(struct engine *engine, unsigned worker, struct worker_info *info)
{
	(void)engine, (void)worker;
	*info = (struct worker_info){.cpu = -1, .turns = 3};
}

void fake_obey(void)
{
	fake.steer_fails = fake.mtu_fails = fake.link_down = fake.trace_done = false;
	fake.steer_ms = 0;
	fake.trace_fill = NULL;
}

void fake_reset(void)
{
	free(fake.programs);
	free(fake.rules);
	fake.programs = NULL;
	fake.rules = NULL;
	fake.n_programs = fake.n_rules = 0;
}

const struct rule *fake_rule(const char *in_port, int32_t priority)
{
	for (unsigned i = 0; i < fake.n_rules; i++) {
		const struct rule *rule = &fake.rules[i];
		const char *name = rule->match.in_port ? rule->match.in_port->name : "";

		if (rule->priority == priority && strcmp(name, in_port) == 0)
			return rule;
	}
	return NULL;
}

static const char *step_text(const struct program_step *step)
{
	static char text[64];

	if (step->op == PROGRAM_CALL)
		return step->service->name;
	if (step->op == PROGRAM_OUTPUT)
		snprintf(text, sizeof(text), ">%s", step->port->name);
	else
		snprintf(text, sizeof(text), "!%s", drop_label(step->reason));
	return text;
}

const char *fake_steps(unsigned program)
{
	static char text[512];
	size_t at = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < fake.programs[program].n_steps; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", at ? " " : "",
			step_text(&fake.programs[program].step[i]));
	return text;
}

/* ---- ports ----------------------------------------------------------------------------------- */

#define DEVICES_MAX 64

static char devices[DEVICES_MAX][64]; /* open ones */

static int fake_open(struct port *port, const struct port_config *config, struct error *error)
{
	char name[64];
	char *place = NULL;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(config->args, ","), config->args);
	if (strncmp(name, "no", 2) == 0)
		return error_set(error, ENODEV, "", "ip link shows those there are",
			"there is no interface %s", name);
	for (unsigned i = 0; i < DEVICES_MAX; i++) {
		if (strcmp(devices[i], name) == 0)
			return error_set(error, EBUSY, "", "", "%s is in use", name);
		if (!devices[i][0] && !place)
			place = devices[i];
	}
	strcpy(place, name);
	port->driver = place;
	port->frame_bytes_max = config->mtu;
	fake.n_ports++;
	return 0;
}

static void fake_close(struct port *port)
{
	*(char *)port->driver = '\0';
	fake.n_ports--;
}

static void fake_info(struct port *port, struct port_info *info)
{
	*info = (struct port_info){.link_up = !fake.link_down,
		.mtu = port->frame_bytes_max,
		.offloads = PORT_OFFLOAD_RSS};
	strcpy(info->detail, "nothing behind it");
}

static int fake_set_mtu(struct port *port, uint32_t mtu, struct error *error)
{
	if (fake.mtu_fails && mtu != 1500)
		return error_set(error, EINVAL, "mtu", "1500", "the device takes 1500 only");
	port->frame_bytes_max = mtu;
	return 0;
}

static const struct port_driver fake_driver = {
	.kind = "fake",
	.usage = "fake:DEVICE",
	.help = "No device at all",
	.open = fake_open,
	.close = fake_close,
	.info = fake_info,
	.set_mtu = fake_set_mtu,
};

const struct port_driver *const port_drivers[] = {&fake_driver, NULL};

/* ---- NFs and services ------------------------------------------------------------------------ */

static struct service *services;
static uint32_t last_number;

struct service *nf_service(const char *name)
{
	struct service *service = services;

	while (service && strcmp(service->name, name) != 0)
		service = service->next;
	return service;
}

static void add_service(const char *name, const char *group)
{
	struct service *service = calloc(1, sizeof(*service));

	snprintf(service->name, sizeof(service->name), "%s", name);
	service->pool = group_pool(group);
	service->number = ++last_number;
	service->next = services;
	services = service;
	fake.n_services++;
}

static bool is_provided(const json_t *document, const char *service)
{
	const char *name;
	json_t *nf;

	json_object_foreach (json_object_get(document, "nfs"), name, nf)
		if (strcmp(value_text(nf, "service"), service) == 0)
			return true;
	return false;
}

static int nf_prepare(const struct change *change, struct error *error)
{
	const char *name;
	json_t *nf;

	(void)error;
	json_object_foreach (json_object_get(change->new, "nfs"), name, nf)
		if (!nf_service(value_text(nf, "service")))
			add_service(value_text(nf, "service"), value_text(nf, "group"));
	return 0;
}

static void keep_provided(const json_t *document)
{
	struct service **at = &services;

	while (*at) {
		struct service *service = *at;

		if (is_provided(document, service->name)) {
			at = &service->next;
			continue;
		}
		*at = service->next;
		free(service);
		fake.n_services--;
	}
}

static void nf_finish(const struct change *change)
{
	keep_provided(change->new);
}

static void nf_abort(const struct change *change)
{
	keep_provided(change->old);
}

static const struct field fake_nf_fields[] = {
	{"service", FIELD_NAME, .preset_name = true, .effect = EFFECT_RECREATE},
	{"group", FIELD_REF, .ref = "groups", .preset = "\"default\"", .effect = EFFECT_RECREATE},
	{"standby", FIELD_BOOL, .preset = "false"},
	{},
};
static const struct section fake_nf_section = {"nfs", "nf", fake_nf_fields};

const struct module fake_nf_module = {
	.name = "nf",
	.after = (const char *const[]){"group", NULL},
	.sections = (const struct section *const[]){&fake_nf_section, NULL},
	.prepare = nf_prepare,
	.finish = nf_finish,
	.abort = nf_abort,
};
