/* The histogram: exact below 32, within 1/32 above, percentiles by rank. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "speed/latency.h"

static void nothing_is_zero(void **state)
{
	static struct latency latency;

	(void)state;
	assert_int_equal(latency_percentile(&latency, 500), 0);
}

static void any_duration_is_kept_within_a_32nd(void **state)
{
	(void)state;
	for (unsigned shift = 0; shift < 64; shift++) {
		for (int away = -1; away <= 1; away++) {
			struct latency *latency = calloc(1, sizeof(*latency));
			uint64_t ns = (UINT64_C(1) << shift) + (uint64_t)away, got;

			assert_non_null(latency);
			latency_add(latency, ns);
			latency_add(latency, UINT64_MAX); /* else the maximum would hide an error */
			got = latency_percentile(latency, 500);
			assert_true(got >= ns);
			assert_true(got - ns <= ns / 32);
			free(latency);
		}
	}
}

static void percentiles_go_by_rank(void **state)
{
	static struct latency a, b;

	(void)state;
	for (unsigned i = 1; i <= 500; i++)
		latency_add(&a, 10);
	for (unsigned i = 1; i <= 490; i++)
		latency_add(&b, 20);
	for (unsigned i = 1; i <= 9; i++)
		latency_add(&b, 30);
	latency_add(&b, 1000003);
	latency_merge(&a, &b);
	assert_int_equal(a.n, 1000);
	assert_int_equal(latency_percentile(&a, 500), 10);
	assert_int_equal(latency_percentile(&a, 501), 20);
	assert_int_equal(latency_percentile(&a, 990), 20);
	assert_int_equal(latency_percentile(&a, 999), 30);
	assert_int_equal(latency_percentile(&a, 1000), 1000003);
	assert_int_equal(a.max_ns, 1000003);
}

static void the_median_of_three_is_the_second(void **state)
{
	static struct latency latency;

	(void)state;
	for (unsigned i = 1; i <= 3; i++)
		latency_add(&latency, i);
	assert_int_equal(latency_percentile(&latency, 500), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_zero),
		cmocka_unit_test(any_duration_is_kept_within_a_32nd),
		cmocka_unit_test(percentiles_go_by_rank),
		cmocka_unit_test(the_median_of_three_is_the_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
