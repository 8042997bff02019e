/*
 * What the engine's tests start with: an engine, a pool, a port each way, two services. A test
 * plays the NFs (test_rig.h) and ends with fixture_finish(), which checks that the books balance
 * and that all buffers are free.
 */
#ifndef NETVM_ENGINE_TEST_FIXTURE_H
#define NETVM_ENGINE_TEST_FIXTURE_H

#include "engine/test_rig.h"

#define N_BUFFERS 4096u
#define RING      256u           /* of the rig's NFs */
#define FAIR      (RING * 3 / 4) /* of which one program gets so much, see program.c */

struct fixture {
	struct engine *engine;
	struct buffer_pool *pool;
	struct rig_port *in, *out;
	struct service *a, *b;
	int notify_fd;
};

extern const struct match fixture_match_all;

struct fixture *fixture_start(unsigned n_workers);
void fixture_finish(struct fixture *f);

struct buffer_pool *fixture_pool(struct engine *engine, const char *name);
/* Attached and up. */
struct rig_port *fixture_port(struct fixture *f, const char *name, struct buffer_pool *pool);

/* in -> services -> out, for everything; more options are the caller's. */
void fixture_chain(struct program_options *chain, struct fixture *f, const char *name,
	struct service *const *services, unsigned n);
/* All that comes in by `in` takes this chain. */
void fixture_steer(struct fixture *f, const struct program_options *chain);
void fixture_steer_through(struct fixture *f, struct service *const *services, unsigned n);

/* n UDP frames, each with its own destination port and, at byte 42, its number. */
void fixture_give(struct fixture *f, unsigned n, uint16_t first_port);
/* Must balance at any moment. */
struct books fixture_books(struct fixture *f);

#endif
