/*
 * Memory for two libraries that cannot cope without: jansson loses what it has no room for (a field
 * of a document, a part of an answer), libevent a timer or an answer. Our own code checks each
 * malloc() and goes back; for them there is a reserve:
 *
 *   jansson, libevent ──► malloc() ── none left ──► the reserve is given back to malloc(), and used
 *                                                      │
 *        a call of the API begins only when the reserve is whole ◄┘ and is taken again when it can
 *
 * The reserve is RESERVE_FACTOR times what the two have in use, so a call that began can end: what
 * it makes of its request and the document are a few copies of them. A text from outside may become
 * much more, and jansson's parser writes past its own buffers when it gets no memory: so each such
 * text is read by memory_read_json(), which first has all that it could become.
 *
 * Called by main (init), rpc.c (before each call), and who reads JSON. The manager's thread only.
 */
#ifndef NETVM_COMMON_MEMORY_H
#define NETVM_COMMON_MEMORY_H

#include <jansson.h>
#include <stddef.h>

#include "common/error.h"

/* Before the first use of jansson or libevent. */
void memory_init(void);

/*
 * json_loadb(). The new reference in *value; NULL after an error: -ENOMEM, -EINVAL where the text
 * is wrong.
 */
int memory_read_json(
	const char *text, size_t length, size_t flags, json_t **value, struct error *error);

/* Free a text that json_dumps() made. */
void memory_free_text(char *text);

/* 0 when the reserve is whole, else -ENOMEM: try again later. */
int memory_check(struct error *error);

#endif
