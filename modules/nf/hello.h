/*
 * What an NF says of itself in its channel: taken in, judged, answered. Called by attach.c for
 * those that come by the socket and by guest.c for those in guests; there is no other way in.
 */
#ifndef NETVM_MODULES_NF_HELLO_H
#define NETVM_MODULES_NF_HELLO_H

#include "modules/nf/session.h"

/*
 * The channel's state is HELLO, request->pid, uid and guest say who wrote it. Copies the hello into
 * the request, checks the copy, asks `admit`, and makes the session ready.
 * Returns 0, state READY; or an enum netvm_refusal with its sentence in `text`, state REFUSED.
 */
uint32_t hello_answer(struct session *session, struct engine *engine, attach_admit *admit,
	struct attach_request *request, struct attach_grant *grant, char text[NETVM_TEXT_BYTES]);

#endif
