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
 * it makes of its request and the document are a few copies of them. A text from a caller may still
 * become anything; reading it gets nothing from the reserve, since jansson's parser does look.
 *
 * Called by main (init), rpc.c (around each call). The manager's thread only.
 */
#ifndef NETVM_MANAGER_MEMORY_H
#define NETVM_MANAGER_MEMORY_H

#include <stdbool.h>

#include "common/error.h"

/* Before the first use of jansson or libevent. */
void memory_init(void);

/* Between the two nothing comes from the reserve. The second says whether memory was missing. */
void memory_bar_reserve(void);
bool memory_unbar_reserve(void);

/* Free a text that json_dumps() made. */
void memory_free_text(char *text);

/* 0 when the reserve is whole, else -ENOMEM: try again later. */
int memory_check(struct error *error);

#endif
