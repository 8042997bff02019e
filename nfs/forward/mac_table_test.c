/* MAC learning: moves, ageing, VLANs, and a table that is full. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "forward/mac_table.h"

#define AGE_S 300

static const uint8_t station[6] = {2, 0, 0, 0, 0, 1};

static struct mac_table *table_create(uint32_t n)
{
	struct mac_table *table;

	assert_int_equal(mac_table_create(n, AGE_S, &table), 0);
	return table;
}

static void a_station_is_found_where_it_was_seen_last(void **state)
{
	struct mac_table *table = table_create(64);

	(void)state;
	assert_int_equal(mac_table_find(table, station, 0, 10), -ENOENT);
	mac_table_learn(table, station, 0, 7, 10);
	assert_int_equal(mac_table_find(table, station, 0, 11), 7);
	mac_table_learn(table, station, 0, 8, 12);
	assert_int_equal(mac_table_find(table, station, 0, 13), 8);
	mac_table_destroy(table);
}

static void vlans_learn_apart(void **state)
{
	struct mac_table *table = table_create(64);

	(void)state;
	mac_table_learn(table, station, 1, 7, 10);
	mac_table_learn(table, station, 2, 8, 10);
	assert_int_equal(mac_table_find(table, station, 1, 10), 7);
	assert_int_equal(mac_table_find(table, station, 2, 10), 8);
	assert_int_equal(mac_table_find(table, station, 3, 10), -ENOENT);
	mac_table_destroy(table);
}

static void silence_ages_an_entry_and_a_packet_renews_it(void **state)
{
	struct mac_table *table = table_create(64);

	(void)state;
	mac_table_learn(table, station, 0, 7, 10);
	assert_int_equal(mac_table_find(table, station, 0, 10 + AGE_S - 1), 7);
	assert_int_equal(mac_table_find(table, station, 0, 10 + AGE_S), -ENOENT);
	mac_table_learn(table, station, 0, 7, 10 + AGE_S);
	assert_int_equal(mac_table_find(table, station, 0, 10 + 2 * AGE_S - 1), 7);
	mac_table_destroy(table);
}

/* Two buckets of four: with 1000 stations the newest survive, and nothing else happens. */
static void a_flood_replaces_the_oldest(void **state)
{
	struct mac_table *table = table_create(4);
	uint8_t mac[6] = {2};
	unsigned found = 0;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		mac[4] = (uint8_t)(i >> 8), mac[5] = (uint8_t)i;
		mac_table_learn(table, mac, 0, 1, i / 4);
		assert_int_equal(mac_table_find(table, mac, 0, i / 4), 1);
	}
	for (unsigned i = 0; i < 1000; i++) {
		mac[4] = (uint8_t)(i >> 8), mac[5] = (uint8_t)i;
		found += mac_table_find(table, mac, 0, 250) == 1;
		assert_true(i > 900 || mac_table_find(table, mac, 0, 250) < 0);
	}
	assert_in_range(found, 4, 8);
	mac_table_destroy(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_station_is_found_where_it_was_seen_last),
		cmocka_unit_test(vlans_learn_apart),
		cmocka_unit_test(silence_ages_an_entry_and_a_packet_renews_it),
		cmocka_unit_test(a_flood_replaces_the_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
