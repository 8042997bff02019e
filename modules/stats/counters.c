/* Counters as JSON: see counters.h. */
#include "modules/stats/counters.h"

#include "engine/engine.h"

json_t *drops_value(const uint64_t *drops)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < DROP_REASONS; i++)
		if (drops[i] > 0)
			json_object_set_new(object, drop_label((enum drop_reason)i),
				json_integer((json_int_t)drops[i]));
	return object;
}

json_t *counters_value(const struct counters *counters)
{
	json_t *object = json_object();
	const struct {
		const char *name;
		uint64_t value;
	} list[] = {
		{"rx_pkts", counters->rx_pkts},
		{"rx_bytes", counters->rx_bytes},
		{"tx_pkts", counters->tx_pkts},
		{"tx_bytes", counters->tx_bytes},
		{"rx_bursts", counters->rx_bursts},
		{"tx_bursts", counters->tx_bursts},
	};

	for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		json_object_set_new(object, list[i].name, json_integer((json_int_t)list[i].value));
	json_object_set_new(object, "drops", drops_value(counters->drops));
	return object;
}
