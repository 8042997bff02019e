/* The reserve of memory: see memory.h. */
#include "common/memory.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#include <event2/event.h>

#define RESERVE_FACTOR    8u
#define RESERVE_MIN_BYTES (1u << 20)

/* jansson makes of a text at most 80 times its size, when it is all empty objects, and a little. */
#define READ_FACTOR    96u
#define READ_MIN_BYTES 4096u

static struct {
	size_t used_bytes; /* by jansson and libevent */
	size_t reserve_bytes;
	void *reserve; /* NULL: given back, memory is short */
	void *room;    /* for the text that is being read; NULL: none is, or given back */
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

static bool give_back(void **kept)
{
	bool had = *kept;

	free(*kept);
	*kept = NULL;
	return had;
}

static bool give_some_back(void)
{
	return give_back(&memory.room) || give_back(&memory.reserve);
}

static void *take(size_t size)
{
	void *at = malloc(size);

	while (!at && give_some_back())
		at = malloc(size);
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

	while (!moved && size > 0 && give_some_back())
		moved = realloc(at, size);
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

int memory_read_json(
	const char *text, size_t length, size_t flags, json_t **value, struct error *error)
{
	json_error_t problem;

	*value = NULL;
	memory.room = malloc(READ_MIN_BYTES + READ_FACTOR * length);
	if (!memory.room)
		return error_set(error, ENOMEM, "", "try again when there is more",
			"no memory for the request");
	*value = json_loadb(text, length, flags, &problem);
	give_back(&memory.room);
	return *value ? 0
		      : error_set(error, EINVAL, "", "one JSON text per line",
				"not JSON: %s, at byte %d", problem.text, problem.position);
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
