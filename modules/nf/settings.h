/* One object of the section `nfs`, taken apart. Called by schema.c (checks) and control.c. */
#ifndef NETVM_MODULES_NF_SETTINGS_H
#define NETVM_MODULES_NF_SETTINGS_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "abi/channel.h"
#include "common/error.h"
#include "modules/nf/command.h"

#define NF_USER_DEFAULT "nobody"

enum restart_policy {
	RESTART_ALWAYS,
	RESTART_ON_FAILURE,
	RESTART_NEVER,
};

struct nf_settings {
	json_t *object;              /* what was read */
	char name[NETVM_NAME_BYTES]; /* of an idle guest: "pool:" and a number */
	char service[NETVM_NAME_BYTES];
	char group[NETVM_NAME_BYTES];
	bool external;    /* started by somebody else */
	bool guest;       /* runs in a guest */
	bool standby;     /* takes over when another one of its service ends */
	const char *pool; /* the guest is taken from this one; lives as long as `object` */
	enum restart_policy restart;
	struct command command; /* argv NULL when external, or when the guest's image knows */
	char *program;          /* path of argv[0]; of a guest: of QEMU */
	char *user;             /* runs as, or who may attach */
	char *home;
	uid_t uid;
	gid_t gid;
	cpu_set_t cpus;   /* empty: any */
	unsigned hang_ms; /* 0: it cannot hang */
	uint32_t ring_words;
	uint32_t stock_words;
	uint32_t n_queues;
};

/*
 * Read a complete object of the document. `binary_dir`: see command_find(); NULL: do not look for
 * the program.
 * Errors: path is the field's name: -EINVAL, -ENOENT (no such program or user), -EACCES, -ENOMEM.
 */
int nf_settings_read(struct nf_settings *settings, const char *name, json_t *object,
	const char *binary_dir, struct error *error);
void nf_settings_free(struct nf_settings *settings);

/* As whom it runs after all: a guest whose QEMU is there already. Error: -ENOMEM. */
int nf_settings_set_user(struct nf_settings *settings, const char *user, uid_t uid, gid_t gid);

/* Take over what may change while the NF runs: cpus, hang_ms and restart. */
int nf_settings_update(struct nf_settings *settings, json_t *object, struct error *error);

/* Field checks of the schema. */
int nf_check_command(const json_t *value, struct error *error);
int nf_check_ring(const json_t *value, struct error *error);
int nf_check_stock(const json_t *value, struct error *error);

#endif
