/*
 * What the commands do: the functions that the table in commands.c names. For most commands one
 * adds the parameters of the question (params_*) and one prints the answer for people (print_*);
 * run_* do all of it. See struct command in grammar.h.
 */
#ifndef NETVM_CLI_ACTIONS_H
#define NETVM_CLI_ACTIONS_H

#include "cli/grammar.h"

/* show.c: the configuration */
int params_show(struct cli *cli, const struct call *call, json_t *params);
void print_show(struct cli *cli, const struct call *call, const json_t *result);
void print_nfs(struct cli *cli, const struct call *call, const json_t *result);
void print_guest(struct cli *cli, const struct call *call, const json_t *result);
void print_yaml(struct cli *cli, const struct call *call, const json_t *result);

/* failures.c: how NFs fare */
void print_nf_state(struct cli *cli, const json_t *now);
void print_nf_states(struct cli *cli, const json_t *nfs);
void print_guard(struct cli *cli, const struct call *call, const json_t *result);

/* change.c: changing it */
int params_patch(struct cli *cli, const struct call *call, json_t *params);
int params_file(struct cli *cli, const struct call *call, json_t *params);
int params_save(struct cli *cli, const struct call *call, json_t *params);
void print_changes(struct cli *cli, const struct call *call, const json_t *result);
void print_checked(struct cli *cli, const struct call *call, const json_t *result);
void print_done(struct cli *cli, const struct call *call, const json_t *result);
int params_nf(struct cli *cli, const struct call *call, json_t *params);
/* The daemon has another current folder: a full path to send, new reference; NULL with cli->fault.
 */
json_t *path_from_here(struct cli *cli, const char *file);
/* Point an error of the daemon about a FILE at the line it is about. */
void blame_file(struct cli *cli, const struct call *call);

/* stats.c: what goes on */
void print_stats(struct cli *cli, const struct call *call, const json_t *result);
void print_drops(struct cli *cli, const struct call *call, const json_t *result);
int run_top(struct cli *cli, const struct call *call);
int run_events(struct cli *cli, const struct call *call);

/* trace.c: the way of packets */
int run_trace(struct cli *cli, const struct call *call);

/* upgrade.c */
int run_upgrade(struct cli *cli, const struct call *call);

/* daemon.c, help.c, complete.c, doctor.c, nf_new.c, image.c */
int run_daemon_restart(struct cli *cli, const struct call *call);
int run_help(struct cli *cli, const struct call *call);
int run_version(struct cli *cli, const struct call *call);
int run_complete(struct cli *cli, const struct call *call);
int run_doctor(struct cli *cli, const struct call *call);
int run_nf_new(struct cli *cli, const struct call *call);
int run_image_build(struct cli *cli, const struct call *call);

#endif
