/* The reserve of memory: see memory.h. */
#include "manager/memory.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

#include <event2/event.h>
#include <jansson.h>

#define RESERVE_FACTOR    8u
#define RESERVE_MIN_BYTES (1u << 20)

static struct {
	size_t used_bytes; /* by jansson and libevent */
	size_t reserve_bytes;
	void *reserve; /* NULL: given back, memory is short */
	bool is_barred, was_missing;
} memory;

/* Makes the reserve as large as it must be now; it stays as it is when that cannot be. */
static bool fill_reserve(void)
{
	size_t wanted = RESERVE_FACTOR * memory.used_bytes;
	void *larger;

	if (wanted < RESERVE_MIN_BYTES)
		wanted = RESERVE_MIN_BYTES;
	if (memory.reserve && memory.reserve_bytes >= wanted)
		return true;
	larger = malloc(2 * wanted); /* and room to grow: not again at once */
	if (!larger)
		return false;
	free(memory.reserve);
	memory.reserve = larger;
	memory.reserve_bytes = 2 * wanted;
	return true;
}

static void give_reserve_back(void)
{
	free(memory.reserve);
	memory.reserve = NULL;
}

static void *take(size_t size)
{
	void *at = malloc(size);

	if (!at && memory.reserve && !memory.is_barred) {
		give_reserve_back();
		at = malloc(size);
	}
	memory.was_missing |= !at;
	memory.used_bytes += malloc_usable_size(at);
	return at;
}

static void give(void *at)
{
	memory.used_bytes -= malloc_usable_size(at);
	free(at);
}

static void *take_again(void *at, size_t size)
{
	size_t before = malloc_usable_size(at);
	void *moved = realloc(at, size);

	if (!moved && size > 0 && memory.reserve && !memory.is_barred) {
		give_reserve_back();
		moved = realloc(at, size);
	}
	if (moved || size == 0)
		memory.used_bytes += malloc_usable_size(moved) - before;
	return moved;
}

void memory_init(void)
{
	json_set_alloc_funcs(take, give);
	event_set_mem_functions(take, take_again, give);
	fill_reserve();
}

void memory_bar_reserve(void)
{
	memory.is_barred = true;
	memory.was_missing = false;
}

bool memory_unbar_reserve(void)
{
	memory.is_barred = false;
	return memory.was_missing;
}

void memory_free_text(char *text)
{
	json_free_t free_text;

	json_get_alloc_funcs(NULL, &free_text);
	free_text(text);
}

int memory_check(struct error *error)
{
	return fill_reserve() ? 0
			      : error_set(error, ENOMEM, "", "try again when there is more",
					"the machine has no memory left");
}
