/*
 * The whole module in a daemon of cardboard: a fake engine, real sockets and processes. Each test
 * gets a fresh one; afterwards no process, descriptor, service or NF may be left.
 */
#ifndef NETVM_MODULES_NF_TESTING_RIG_H
#define NETVM_MODULES_NF_TESTING_RIG_H

#include <limits.h>
#include <stdbool.h>

#include <jansson.h>

#include "manager/module.h"

extern struct manager rig_manager;
extern char rig_run_dir[PATH_MAX], rig_nf_socket[PATH_MAX];

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
int rig_setup(void **state);
int rig_teardown(void **state);
/* For the group of tests. */
int rig_make_places(void **state);
int rig_remove_places(void **state);

/* ---- documents: values are taken over ---------------------------------------------------------
 */

json_t *rig_acting(const char *role); /* fields of a process, see actor.c */
json_t *rig_external(void);
json_t *rig_with(json_t *fields, const char *field, const char *value);
/* A complete object of section nfs. */
json_t *rig_object(const char *name, json_t *fields);
/* A document with this one. */
json_t *rig_one(const char *name, json_t *fields);

/* Of the transactions that follow; PHASE_RUN in a new test. */
extern enum change_phase rig_phase;

/* One transaction, as the manager does it. */
int rig_apply(json_t *next, struct error *error);
void rig_apply_ok(json_t *next);

/* The method nf.upgrade with these parameters (taken over). The answer comes later: rig_upgrade. */
int rig_start_upgrade(json_t *params, struct error *error);
struct rig_upgrade {
	bool answered;        /* well */
	struct error refusal; /* code not 0: badly */
	unsigned confirmed;   /* calls of store_confirm() */
};
extern struct rig_upgrade rig_upgrade;
/* Until it is answered. */
void rig_await_upgrade(void);

/* The method nf.restart. */
int rig_restart(const char *name, struct error *error);

/* ---- looking ----------------------------------------------------------------------------------
 */

json_t *rig_stats(const char *name);
json_int_t rig_figure(const char *name, const char *field);
bool rig_is_state(const char *name, const char *state);
/* Until the NF "fw" is in this state. */
void rig_await(const char *state);
/* Until an event of this kind with this part in its text has happened. */
void rig_await_event(const char *kind, const char *part);
/* For fake_loop_until(). */
bool rig_no_children(void *arg);

#endif
