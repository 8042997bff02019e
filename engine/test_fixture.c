/* See test_fixture.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/test_fixture.h"

struct buffer_pool *fixture_pool(struct engine *engine, const char *name)
{
	struct buffer_pool_options options = {
		.name = name, .n_buffers = N_BUFFERS, .buffer_bytes = 2048, .huge_pages = 0};
	struct buffer_pool *pool = NULL;

	assert_int_equal(buffer_pool_create(&options, &pool, NULL), 0);
	assert_int_equal(engine_pool_attach(engine, pool, NULL), 0);
	return pool;
}

struct rig_port *fixture_port(struct fixture *f, const char *name, struct buffer_pool *pool)
{
	struct rig_port *rig = rig_port_new(name, pool, 1);

	assert_int_equal(engine_port_attach(f->engine, &rig->port, NULL), 0);
	engine_port_set_up(f->engine, &rig->port, true);
	return rig;
}

struct fixture *fixture_start(unsigned n_workers)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct engine_options options = {.n_workers = n_workers, .flow_cache_entries = 64};
	struct error error = {0};

	f->notify_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	options.notify_fd = f->notify_fd;
	for (unsigned i = 0; i < n_workers; i++)
		options.cpu[i] = -1;
	if (engine_create(&options, &f->engine, &error))
		fail_msg("%s", error.message);
	f->pool = fixture_pool(f->engine, "one");
	f->in = fixture_port(f, "in", f->pool);
	f->out = fixture_port(f, "out", f->pool);
	assert_int_equal(engine_service_create(f->engine, "a", f->pool, &f->a, NULL), 0);
	assert_int_equal(engine_service_create(f->engine, "b", f->pool, &f->b, NULL), 0);
	return f;
}

static bool settled(struct fixture *f, struct books *books)
{
	engine_books(f->engine, books);
	assert_true(books->balanced);
	return books->in_flight == 0 && books->buffers_free == books->buffers_total;
}

void fixture_finish(struct fixture *f)
{
	struct books books;

	assert_true(rig_wait(settled(f, &books)));
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_port_detach(f->engine, &f->in->port);
	engine_port_detach(f->engine, &f->out->port);
	engine_service_destroy(f->engine, f->a);
	engine_service_destroy(f->engine, f->b);
	engine_pool_detach(f->engine, f->pool);
	engine_destroy(f->engine);
	rig_port_free(f->in);
	rig_port_free(f->out);
	buffer_pool_destroy(f->pool);
	close(f->notify_fd);
	free(f);
}

/* in -> services -> out, for everything; more options are the caller's. */
void fixture_chain(struct program_options *chain, struct fixture *f, const char *name,
	struct service *const *services, unsigned n)
{
	memset(chain, 0, sizeof(*chain));
	chain->name = name;
	chain->chain = 1;
	for (unsigned i = 0; i < n; i++)
		chain->step[i] = (struct program_step){.op = PROGRAM_CALL, .service = services[i]};
	chain->step[n] = (struct program_step){.op = PROGRAM_OUTPUT, .port = &f->out->port};
	chain->n_steps = n + 1;
}

const struct match fixture_match_all = {.src_port_max = 65535, .dst_port_max = 65535};

void fixture_steer(struct fixture *f, const struct program_options *chain)
{
	struct rule rule = {.match = fixture_match_all};

	rule.match.in_port = &f->in->port;
	assert_int_equal(engine_steer(f->engine, chain, 1, &rule, 1, NULL), 0);
}

void fixture_steer_through(struct fixture *f, struct service *const *services, unsigned n)
{
	struct program_options chain;

	fixture_chain(&chain, f, "chain", services, n);
	fixture_steer(f, &chain);
}

void fixture_give(struct fixture *f, unsigned n, uint16_t first_port)
{
	uint8_t frame[64];

	for (unsigned i = 0; i < n; i++) {
		unsigned length =
			rig_udp(frame, 0x0a000001, 0x0a000002, 1000, (uint16_t)(first_port + i));

		frame[42] = (uint8_t)i;
		frame[43] = (uint8_t)(i >> 8);
		rig_port_give(f->in, frame, length);
	}
}

struct books fixture_books(struct fixture *f)
{
	struct books books;

	engine_books(f->engine, &books);
	assert_true(books.balanced);
	return books;
}
