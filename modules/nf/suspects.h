/*
 * Flows that crash NFs, as far as people see them: events, the methods guard.show and guard.clear.
 * The engine finds and keeps them (engine/suspects.c); this looks after their time. Called by
 * control.c, and by instance.c when an NF has crashed; on the manager's thread.
 */
#ifndef NETVM_MODULES_NF_SUSPECTS_H
#define NETVM_MODULES_NF_SUSPECTS_H

#include <jansson.h>

#include "common/error.h"

struct manager;
struct rpc_request;

/* -ENOMEM. */
int suspects_open(const struct manager *manager, struct error *error);
void suspects_close(void);

/* An NF has crashed: tell who is guarded now. */
void suspects_tell(void);

/* Methods, see methods.c. */
int guard_show(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error);
int guard_clear(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error);

#endif
