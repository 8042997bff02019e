/*
 * Documents as values: comparing and changing them. No side effects; called by the document store,
 * its methods and by modules through change_kind() (module.h).
 */
#ifndef NETVM_MANAGER_DOCUMENT_H
#define NETVM_MANAGER_DOCUMENT_H

#include "manager/module.h"

/*
 * What leads from one complete document to another: a list of
 *     {"op": "add" | "set" | "del", "path": ..., "old": ..., "new": ..., "effect": ...}
 * Whole objects are added and deleted; of objects in both, fields are set (old or new may be null).
 * New reference.
 */
json_t *document_diff(const struct change *change);

/* The descriptor of one entry of document_patch()'s list, for the parameters of a method. */
extern const struct field document_change_field;

/*
 * Apply a list of {"op", "section", "name", "value"} to a document as given (not complete):
 *     add  must not exist yet
 *     set  must exist; the value is merged in as RFC 7396 says: null resets a field to its preset
 *     del  must exist
 * The list has passed the check of document_change_field. `complete` is the same document
 * completed, for hints.
 * Returns 0 with a new reference in *result, -EINVAL, -EEXIST or -ENOENT.
 */
int document_patch(const struct section *const *sections, const json_t *given,
	const json_t *complete, const json_t *changes, json_t **result, struct error *error);

#endif
