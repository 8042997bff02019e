/* What the methods of this folder ask of control.c: NFs of the running document by name. */
#ifndef NETVM_MODULES_NF_CONTROL_H
#define NETVM_MODULES_NF_CONTROL_H

#include "common/error.h"

struct nf_instance;

/* NULL: there is none. */
struct nf_instance *nf_current(const char *name);

/* -ENOENT about the parameter `name`, with the names there are. */
int nf_unknown(const char *name, struct error *error);

/* A second one of the same settings takes over. Errors: as spawn(). */
int nf_replace(struct nf_instance *old, struct error *error);

/* Undo nf_replace() while its predecessor is there. */
void nf_return(struct nf_instance *instance);

#endif
