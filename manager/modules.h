/*
 * All modules together: their life and their part in a transaction, in table order or in reverse.
 * Called by main and by the document store.
 */
#ifndef NETVM_MANAGER_MODULES_H
#define NETVM_MANAGER_MODULES_H

#include "manager/module.h"

/* The sections of all modules, NULL-terminated. */
const struct section *const *modules_sections(void);

/*
 * Initialise all. -EINVAL when the table is not in dependency order. After a failure nothing is
 * left initialised.
 */
int modules_init(struct manager *manager, struct error *error);
void modules_fini(void);

/* The rules of all modules about the new document. No side effects. */
int modules_check(const struct change *change, struct error *error);

/* Go from the old to the new, checked document, see module.h. After a failure all is as it was. */
int modules_apply(const struct change *change, struct error *error);

#endif
