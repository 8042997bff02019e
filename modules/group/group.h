/*
 * Trust groups: who has packet memory. Called by the modules of ports and NFs on the manager's
 * thread.
 */
#ifndef NETVM_MODULES_GROUP_H
#define NETVM_MODULES_GROUP_H

struct buffer_pool;
struct module;
struct section;

extern const struct module group_module;
extern const struct section group_section;

/* The pool of that group in the document being prepared, else of the running one; or NULL. */
struct buffer_pool *group_pool(const char *name);

#endif
