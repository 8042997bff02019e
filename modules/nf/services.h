/*
 * The engine's services: one for each `service` that NFs of the document name. Called by control.c.
 *
 * All NFs of a service are in one group, the service's. A service is made again when its group's
 * memory is; chains then have to be steered to the new one.
 */
#ifndef NETVM_MODULES_NF_SERVICES_H
#define NETVM_MODULES_NF_SERVICES_H

#include <jansson.h>

#include "common/error.h"

struct engine;

/* Steps of a transaction; `section` is the `nfs` of the new document. See manager/module.h. */
int services_check(const json_t *section, struct error *error);
int services_prepare(struct engine *engine, const json_t *section, struct error *error);
void services_finish(struct engine *engine, const json_t *section);
void services_abort(struct engine *engine);

#endif
