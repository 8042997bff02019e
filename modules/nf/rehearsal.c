/*
 * The rehearsal in a guest that waits in a pool: its NF attaches, gets its memory and no place in
 * the engine, and is told to stop in the same breath. So all that an NF does when it starts has
 * been done once before it counts. Called by guest.c.
 */
#include "modules/nf/guest_parts.h"

/* Nobody's NF yet: what it says and does counts for nothing. */
uint32_t guest_admit_rehearsal(const struct attach_request *request, struct attach_grant *grant,
	char text[NETVM_TEXT_BYTES])
{
	const struct guest_options *options = &request->guest->options;

	(void)text;
	*grant = (struct attach_grant){
		.pool = options->pool,
		.service_name = "",
		.ring_words = options->settings->ring_words,
		.stock_words = options->settings->stock_words,
		.rehearses = true,
	};
	return 0;
}
