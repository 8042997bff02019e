/* The methods of this folder, and what they ask of control.c: NFs of the running document by name.
 */
#ifndef NETVM_MODULES_NF_CONTROL_H
#define NETVM_MODULES_NF_CONTROL_H

#include <jansson.h>

#include "common/error.h"

struct nf_instance;
struct rpc_method;

extern const struct rpc_method nf_methods[]; /* methods.c */

/* NULL: there is none. */
struct nf_instance *nf_current(const char *name);

/* -ENOENT about the parameter `name`, with the names there are. */
int nf_unknown(const char *name, struct error *error);

/* {NAME: what `describe` says of it}; all of them. New reference. */
json_t *nf_describe_all(json_t *(*describe)(const struct nf_instance *));

/* A second one of the same settings takes over. Errors: as spawn(). */
int nf_replace(struct nf_instance *old, struct error *error);

/* Undo nf_replace() while its predecessor is there. */
void nf_return(struct nf_instance *instance);

#endif
