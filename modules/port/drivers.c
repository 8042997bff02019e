/* The table of port drivers, read by modules/port/control.c, and what they share. See driver.h. */
#include "modules/port/driver.h"

#include <errno.h>

const struct port_driver *const port_drivers[] = {&tap_driver, &af_packet_driver, &af_xdp_driver,
	&dpdk_driver, &pcap_driver, &null_driver, NULL};

void driver_free(struct buffer_pool *pool, const uint64_t *words, unsigned n)
{
	struct buffer_cache cache;

	buffer_cache_init(&cache, pool, 1);
	buffer_free(&cache, words, n);
	buffer_cache_flush(&cache);
}

int loan_open(struct loan *loan, struct buffer_pool *pool)
{
	loan->pool = pool;
	loan->out = calloc(pool->n_buffers, 1);
	return loan->out ? 0 : -ENOMEM;
}

void loan_return_all(struct loan *loan)
{
	for (uint32_t i = 0; loan->out && i < loan->pool->n_buffers; i++) {
		uint64_t word;

		if (!loan->out[i])
			continue;
		word = loan_back(loan, i);
		driver_free(loan->pool, &word, 1);
	}
	free(loan->out);
	loan->out = NULL;
}
