/*
 * nf.upgrade: another program, or image, for an NF that works, tried out. Called by control.c (the
 * method) and by those who see how the new one does.
 *
 *   nf.upgrade ─► document changed, to be confirmed ─► takeover ─► came through ─► confirmed,
 * answer └─────► failed ──────► rolled back, error
 *
 * The change of the document is one like any other, applied with `confirm` (manager/store.h): as
 * long as it is not decided nobody else can change or save the document. Going back is the store's,
 * too; control.c then finds the predecessor still there. When the program is the same one (a new
 * file of the old name) the document stays, and the two change places.
 *
 * One upgrade at a time. Thread-safety: the manager's thread.
 */
#ifndef NETVM_MODULES_NF_UPGRADE_H
#define NETVM_MODULES_NF_UPGRADE_H

#include "manager/module.h"

struct nf_instance;

extern const struct field upgrade_params[];

/* -ENOMEM. */
int upgrade_init(struct manager *manager, struct error *error);
/* Also after upgrade_init() failed. */
void upgrade_fini(void);

/* -EBUSY: this one is being upgraded; NULL: any is. */
int upgrade_check(const struct nf_instance *instance, struct error *error);

/* The method. */
int upgrade_call(
	struct rpc_request *request, const json_t *params, json_t **result, struct error *error);

/* How an instance does: it came through its probation (`why` NULL), or failed. */
void upgrade_over(const struct nf_instance *instance, const char *why);
/* It has ended. True: what becomes of it is the upgrade's to say, by a change of the document or by
 * instance_rest() again when the one before cannot come back. */
bool upgrade_ended(const struct nf_instance *instance, bool clean);
/* It goes, by another change. */
void upgrade_left(const struct nf_instance *instance);

#endif
