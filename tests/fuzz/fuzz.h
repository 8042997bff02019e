/*
 * What the fuzz targets share: reading the input piece by piece, and properties that must hold.
 * A target is one file with LLVMFuzzerTestOneInput(); what require() finds wrong ends it like a
 * crash, so that the input is kept.
 */
#ifndef NETVM_TESTS_FUZZ_H
#define NETVM_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,          \
				#condition);                                                       \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* The rest of an input. Behind its end everything is zero. */
struct feed {
	const uint8_t *data;
	size_t size;
};

/* Little-endian, so that a corpus means the same everywhere. */
static inline uint64_t feed_number(struct feed *feed, unsigned n_bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n_bytes && feed->size > 0; i++, feed->size--)
		value |= (uint64_t)*feed->data++ << (8 * i);
	return value;
}

/* Up to n_bytes of what is left, in a block of exactly that size; *n_bytes becomes its size. */
static inline uint8_t *feed_block(struct feed *feed, size_t *n_bytes)
{
	uint8_t *block;

	if (*n_bytes > feed->size)
		*n_bytes = feed->size;
	block = malloc(*n_bytes ? *n_bytes : 1);
	require(block);
	if (*n_bytes)
		memcpy(block, feed->data, *n_bytes);
	feed->data += *n_bytes;
	feed->size -= *n_bytes;
	return block;
}

/* All that is left as text, NUL-terminated; ends at a NUL of its own, too. */
static inline char *feed_text(struct feed *feed)
{
	char *text = malloc(feed->size + 1);

	require(text);
	if (feed->size)
		memcpy(text, feed->data, feed->size);
	text[feed->size] = '\0';
	feed->size = 0;
	return text;
}

#endif
