/* The section `engine`: fixed when the daemon starts, so there are no hooks but the check. */
#include "manager/engine_section.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/engine.h"
#include "manager/module.h"

#define CPU_MAX 1023

static int check_power_of_two(const json_t *value, struct error *error)
{
	json_int_t number = json_integer_value(value);

	if ((number & (number - 1)) == 0)
		return 0;
	return error_set(error, EINVAL, "", "a power of two, such as 8192",
		"%lld is not a power of two", (long long)number);
}

static int check_cpu(const json_t *value, struct error *error)
{
	long n = sysconf(_SC_NPROCESSORS_CONF);
	char hint[48];

	if (json_integer_value(value) < n)
		return 0;
	snprintf(hint, sizeof(hint), "0..%ld", n - 1);
	return error_set(error, ENODEV, "", hint, "this host has no CPU %lld",
		(long long)json_integer_value(value));
}

static const struct field cpu_field = {"cpu", FIELD_INT, .max = CPU_MAX, .check = check_cpu};

static const struct field engine_fields[] = {
	{"workers", FIELD_INT, .min = 1, .max = NETVM_WORKERS_MAX, .preset = "1",
		.effect = EFFECT_RESTART, .unit = "threads",
		.help = "Threads that move packets; each takes a core when busy"},
	{"cpus", FIELD_LIST, .element = &cpu_field, .max = NETVM_WORKERS_MAX, .preset = "[]",
		.effect = EFFECT_RESTART, .example = "[0]",
		.help = "CPU of each worker in turn; those without one are not pinned"},
	{"poll", FIELD_ENUM, .preset = "\"adaptive\"", .effect = EFFECT_RESTART,
		.values = (const char *const[]){"adaptive", "busy", NULL},
		.help = "adaptive: idle workers sleep; busy: they never do"},
	{"flow_cache", FIELD_INT, .min = 256, .max = 1 << 20, .preset = "8192",
		.effect = EFFECT_RESTART, .unit = "flows", .check = check_power_of_two,
		.help = "Flows each worker remembers exactly; a power of two"},
	{},
};

static const struct section engine_section = {"engine", "engine", engine_fields, .single = true,
	.help = "The data path; fixed when the daemon starts"};

void engine_section_read(const json_t *document, struct engine_options *options)
{
	const json_t *section = json_object_get(document, "engine");
	const json_t *cpus = json_object_get(section, "cpus");

	options->n_workers = (unsigned)value_int(section, "workers");
	for (unsigned i = 0; i < NETVM_WORKERS_MAX; i++)
		options->cpu[i] = i < json_array_size(cpus)
					  ? (int)json_integer_value(json_array_get(cpus, i))
					  : -1;
	options->busy = strcmp(value_text(section, "poll"), "busy") == 0;
	options->flow_cache_entries = (uint32_t)value_int(section, "flow_cache");
}

static int engine_check(const struct change *change, struct error *error)
{
	const json_t *section = json_object_get(change->new, "engine");
	size_t n_cpus = json_array_size(json_object_get(section, "cpus"));

	if (n_cpus <= (size_t)value_int(section, "workers"))
		return 0;
	return error_set(error, EINVAL, "engine.cpus", "at most one per worker, or more workers",
		"%zu CPUs for %lld workers", n_cpus, (long long)value_int(section, "workers"));
}

const struct module engine_module = {
	.name = "engine",
	.sections = (const struct section *const[]){&engine_section, NULL},
	.check = engine_check,
};
