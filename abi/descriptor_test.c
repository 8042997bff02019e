/*
 * The descriptor: every field at its limits, none touching another.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "descriptor.h"

static const uint32_t index_max = NETVM_BUFFERS_MAX - 1;
static const uint32_t generation_max = (1u << NETVM_GENERATION_BITS) - 1;
static const uint32_t offset_max = (1u << NETVM_OFFSET_BITS) - 1;
static const uint32_t length_max = (1u << NETVM_LENGTH_BITS) - 1;
static const uint32_t verdict_max = NETVM_DESTINATIONS_MAX - 1;

static void assert_fields(uint64_t word, uint32_t index, uint32_t generation, uint32_t offset,
	uint32_t length, uint32_t verdict)
{
	assert_int_equal(netvm_desc_index(word), index);
	assert_int_equal(netvm_desc_generation(word), generation);
	assert_int_equal(netvm_desc_offset(word), offset);
	assert_int_equal(netvm_desc_length(word), length);
	assert_int_equal(netvm_desc_verdict(word), verdict);
}

static void fields_do_not_overlap(void **state)
{
	(void)state;
	for (unsigned set = 0; set < 32; set++) {
		uint32_t index = set & 1 ? index_max : 0;
		uint32_t generation = set & 2 ? generation_max : 0;
		uint32_t offset = set & 4 ? offset_max : 0;
		uint32_t length = set & 8 ? length_max : 0;
		uint32_t verdict = set & 16 ? verdict_max : 0;

		assert_fields(netvm_desc(index, generation, offset, length, verdict), index,
			generation, offset, length, verdict);
	}
	assert_true(netvm_desc(index_max, generation_max, offset_max, length_max, verdict_max) ==
		    UINT64_MAX);
}

static void bits_lie_where_the_drawing_says(void **state)
{
	(void)state;
	assert_true(netvm_desc(1, 0, 0, 0, 0) == UINT64_C(1));
	assert_true(netvm_desc(0, 1, 0, 0, 0) == UINT64_C(1) << 20);
	assert_true(netvm_desc(0, 0, 1, 0, 0) == UINT64_C(1) << 28);
	assert_true(netvm_desc(0, 0, 0, 1, 0) == UINT64_C(1) << 42);
	assert_true(netvm_desc(0, 0, 0, 0, 1) == UINT64_C(1) << 56);
	assert_true(NETVM_HANDLE_MASK == UINT64_C(0x0fffffff));
}

static void set_verdict_changes_nothing_else(void **state)
{
	uint64_t full = UINT64_MAX;
	uint64_t empty = 0;

	(void)state;
	assert_fields(netvm_desc_set_verdict(full, 0), index_max, generation_max, offset_max,
		length_max, 0);
	assert_fields(netvm_desc_set_verdict(empty, verdict_max), 0, 0, 0, 0, verdict_max);
}

static void set_extent_changes_nothing_else(void **state)
{
	uint64_t full = UINT64_MAX;
	uint64_t empty = 0;

	(void)state;
	assert_fields(
		netvm_desc_set_extent(full, 0, 0), index_max, generation_max, 0, 0, verdict_max);
	assert_fields(netvm_desc_set_extent(empty, offset_max, length_max), 0, 0, offset_max,
		length_max, 0);
	assert_fields(netvm_desc_set_extent(full, 192, 60), index_max, generation_max, 192, 60,
		verdict_max);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_do_not_overlap),
		cmocka_unit_test(bits_lie_where_the_drawing_says),
		cmocka_unit_test(set_verdict_changes_nothing_else),
		cmocka_unit_test(set_extent_changes_nothing_else),
	};

	return cmocka_run_group_tests_name("descriptor", tests, NULL, NULL);
}
