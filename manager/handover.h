/*
 * One daemon at a time on a state folder, and how the next takes over from the one that runs.
 *
 *     the one that goes                          the one that comes: netvmd --replace
 *         │                                          │ document checked, engine and group memory
 *         │ ◄──────────── daemon.hand_over ───────── │ are there
 *     NFs let go, ports closed, state unlocked       │
 *         │ ─────────────── answer ────────────────► │
 *         │                                      state locked, ports opened, NFs adopted
 *         │ ◄─────────────── "done" ──────────────── │
 *        exit                                        │
 *
 * Until the answer either may fail at any step and nothing has happened. After it, the
 * end of the connection without "done" has the one that goes start again from its own document.
 * What happens when is the place of handover_module in the table of modules: behind the groups, in
 * front of the ports.
 *
 * Thread-safety: the manager's thread, which waits here.
 */
#ifndef NETVM_MANAGER_HANDOVER_H
#define NETVM_MANAGER_HANDOVER_H

#include <stdbool.h>

#include "common/error.h"

extern const struct module handover_module;

/* ---- the one that comes ---------------------------------------------------------------------- */

/* Lock the folder. -EBUSY: another daemon has it. */
int handover_lock(const char *state_dir, struct error *error);

/*
 * Connect to the daemon at that API socket, as whoever we are now; the first document that is
 * applied takes over from it. With no daemon there the folder is locked at once.
 */
int handover_call(const char *state_dir, const char *api_socket, struct error *error);

/* All is taken over: the other one may go. */
void handover_done(void);

/* ---- the one that goes ----------------------------------------------------------------------- */

/* leave() is called when all has been let go, before the other one is told so: its sockets may
 * come. */
void handover_init(void (*leave)(void));

/* daemon.hand_over: to the one at the other end of this connection; takes over the descriptor. */
void handover_begin(int fd);

/* It cannot be: the other one is told why, and nothing has happened. */
void handover_refuse(const struct error *error);

/* Has it begun? */
bool handover_begun(void);

/* After the end of all modules. 0: the other one is in charge; -ECANCELED: it failed, the folder is
 * locked again; else this daemon cannot go on either. */
int handover_await(struct error *error);

/* Unlock. */
void handover_end(void);

#endif
