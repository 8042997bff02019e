/*
 * Network functions: what the rest of the daemon may ask. Called by manager/ and modules/chain, on
 * the manager's thread.
 */
#ifndef NETVM_MODULES_NF_H
#define NETVM_MODULES_NF_H

struct module;
struct section;
struct service;

extern const struct module nf_module;
extern const struct section nf_section;
extern const struct section pool_section;

/* The service of that name in the document being prepared, else in the running one; or NULL. */
struct service *nf_service(const char *name);

#endif
