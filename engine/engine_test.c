/*
 * The engine as a whole, without devices or processes: frames in by a test port, NFs played by the
 * test, frames out by a test port. Every test ends with balanced books and all buffers free.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/test_rig.h"

#define N_BUFFERS 4096u

struct fixture {
	struct engine *engine;
	struct buffer_pool *pool;
	struct rig_port *in, *out;
	struct service *a, *b;
	int notify_fd;
};

static struct buffer_pool *new_pool(struct engine *engine, const char *name)
{
	struct buffer_pool_options options = {
		.name = name, .n_buffers = N_BUFFERS, .buffer_bytes = 2048, .huge_pages = 0};
	struct buffer_pool *pool = NULL;

	assert_int_equal(buffer_pool_create(&options, &pool, NULL), 0);
	assert_int_equal(engine_pool_attach(engine, pool, NULL), 0);
	return pool;
}

static struct rig_port *new_port(struct fixture *f, const char *name, struct buffer_pool *pool)
{
	struct rig_port *rig = rig_port_new(name, pool, 1);

	assert_int_equal(engine_port_attach(f->engine, &rig->port, NULL), 0);
	engine_port_set_up(f->engine, &rig->port, true);
	return rig;
}

static struct fixture *start(unsigned n_workers)
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
	f->pool = new_pool(f->engine, "one");
	f->in = new_port(f, "in", f->pool);
	f->out = new_port(f, "out", f->pool);
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

static void finish(struct fixture *f)
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
static void set_chain(struct program_options *chain, struct fixture *f, const char *name,
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

static const struct match match_all = {.src_port_max = 65535, .dst_port_max = 65535};

static void steer(struct fixture *f, const struct program_options *chain)
{
	struct rule rule = {.match = match_all};

	rule.match.in_port = &f->in->port;
	assert_int_equal(engine_steer(f->engine, chain, 1, &rule, 1, NULL), 0);
}

static void steer_through(struct fixture *f, struct service *const *services, unsigned n)
{
	struct program_options chain;

	set_chain(&chain, f, "chain", services, n);
	steer(f, &chain);
}

static void give(struct fixture *f, unsigned n, uint16_t first_port)
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

static struct books books_of(struct fixture *f)
{
	struct books books;

	engine_books(f->engine, &books);
	assert_true(books.balanced);
	return books;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void patch_without_services(void **state)
{
	struct fixture *f = start(1);

	(void)state;
	steer_through(f, NULL, 0);
	give(f, 1000, 0);
	assert_true(rig_wait(rig_port_n_out(f->out) == 1000));
	assert_int_equal(books_of(f).sent, 1000);
	finish(f);
}

static void no_chain_is_a_named_drop(void **state)
{
	struct fixture *f = start(1);

	(void)state;
	give(f, 10, 0);
	assert_true(rig_wait(books_of(f).drops[DROP_NO_FLOW] == 10));
	finish(f);
}

static void through_two_nfs_in_order(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);

	(void)state;
	steer_through(f, (struct service *[]){f->a, f->b}, 2);
	for (unsigned round = 0; round < 20; round++) {
		give(f, 100, 7);
		assert_true(rig_wait(
			(rig_nf_turn(a, 0), rig_nf_turn(b, 0), rig_port_n_out(f->out) == 100)));
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(rig_port_take(f->out)->data[42], i);
	}
	assert_int_equal(rig_nf_free(f->engine, a), 0);
	assert_int_equal(rig_nf_free(f->engine, b), 0);
	finish(f);
}

static void verdicts(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct grant grant = {.kind = NETVM_DESTINATION_PORT, .port = &f->out->port};
	unsigned to_port;

	(void)state;
	assert_int_equal(engine_service_grant(f->engine, f->a, &grant, 1, NULL), 0);
	steer_through(f, &f->a, 1);
	to_port = rig_nf_destination(a, NETVM_DESTINATION_PORT, "out");
	assert_true(to_port >= NETVM_VERDICT_FIRST_DESTINATION);
	give(f, 5, 0);
	assert_true(rig_wait(
		rig_nf_turn(a, NETVM_VERDICT_DROP) > 0 || books_of(f).drops[DROP_NF_VERDICT] == 5));
	assert_true(rig_wait(
		(rig_nf_turn(a, NETVM_VERDICT_DROP), books_of(f).drops[DROP_NF_VERDICT] == 5)));
	give(f, 6, 0);
	assert_true(rig_wait((rig_nf_turn(a, NETVM_VERDICT_CONSUME), books_of(f).consumed == 6)));
	give(f, 7, 0);
	assert_true(rig_wait((rig_nf_turn(a, to_port), rig_port_n_out(f->out) == 7)));
	give(f, 8, 0);
	assert_true(rig_wait((rig_nf_turn(a, 200), books_of(f).drops[DROP_NF_BAD_VERDICT] == 8)));
	rig_nf_free(f->engine, a);
	finish(f);
}

static unsigned take_n(struct rig_nf *nf, uint64_t *words, unsigned n)
{
	unsigned got = 0;

	assert_true(rig_wait((got += rig_nf_take(nf, 0, words + got, n - got)) == n));
	return got;
}

static uint64_t violations(struct fixture *f, const struct rig_nf *nf)
{
	struct counters counters;

	engine_nf_counters(f->engine, nf->nf, &counters);
	return counters.violations;
}

static void forged_handles_are_refused(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	uint64_t words[4], bad[5];

	(void)state;
	steer_through(f, (struct service *[]){f->a, f->b}, 2);
	give(f, 4, 0);
	take_n(a, words, 4);
	bad[0] = netvm_desc(N_BUFFERS, 0, 192, 60, 0);             /* beyond the pool */
	bad[1] = words[0] ^ UINT64_C(1) << NETVM_GENERATION_SHIFT; /* other generation */
	bad[2] = words[1];                                         /* right */
	bad[3] = words[1];                                         /* the same again */
	bad[4] = netvm_desc(N_BUFFERS - 1, 0, 192, 60, 0);         /* free, or not ours */
	rig_nf_send(a, 0, bad, 5);
	assert_true(rig_wait(violations(f, a) == 4));
	rig_nf_send(b, 0, words, 1); /* another NF's packet */
	assert_true(rig_wait(violations(f, b) == 1));
	rig_nf_send(a, 0, words, 1);
	rig_nf_send(a, 0, words + 2, 2);
	assert_true(rig_wait((rig_nf_turn(b, 0), rig_port_n_out(f->out) == 4)));
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	finish(f);
}

static void bad_extents_are_dropped(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	const struct {
		uint32_t offset, length;
	} extents[] = {{0, 60}, {63, 60}, {192, 0}, {192, 13}, {2000, 200}, {16383, 16383}};
	uint64_t words[6];

	(void)state;
	steer_through(f, &f->a, 1);
	give(f, 6, 0);
	take_n(a, words, 6);
	for (unsigned i = 0; i < 6; i++)
		words[i] = netvm_desc_set_extent(words[i], extents[i].offset, extents[i].length);
	rig_nf_send(a, 0, words, 6);
	assert_true(rig_wait(books_of(f).drops[DROP_NF_BAD_EXTENT] == 6));
	rig_nf_free(f->engine, a);
	finish(f);
}

static void corrupt_ring_is_a_fault(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct nf *faulty = NULL;

	(void)state;
	steer_through(f, &f->a, 1);
	__atomic_store_n(&a->tx[0].ring->producer, a->layout.tx_words + 1, __ATOMIC_RELEASE);
	(void)!write(a->worker_fd[0], &(uint64_t){1}, 8);
	assert_true(rig_wait(engine_faults(f->engine, &faulty, 1) == 1));
	assert_ptr_equal(faulty, a->nf);
	assert_int_equal(engine_faults(f->engine, &faulty, 1), 0); /* told once */
	rig_nf_free(f->engine, a);
	finish(f);
}

static void death_gives_everything_back(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", NETVM_FEATURE_STOCK);
	struct books books;
	uint64_t words[3];

	(void)state;
	steer_through(f, &f->a, 1);
	give(f, 50, 0);
	take_n(a, words, 3); /* some in its hands, the others in its ring */
	assert_true(rig_wait(books_of(f).received == 50));
	assert_int_equal(rig_nf_free(f->engine, a), 50);
	books = books_of(f);
	assert_int_equal(books.drops[DROP_NF_DIED], 50);
	assert_int_equal(books.buffers_stock, 0);
	give(f, 5, 0); /* nobody there, and the chain fails closed */
	assert_true(rig_wait(books_of(f).drops[DROP_SERVICE_DOWN] == 5));
	finish(f);
}

static void failing_open_skips_the_service(void **state)
{
	struct fixture *f = start(1);
	struct program_options chain;

	(void)state;
	set_chain(&chain, f, "open", (struct service *[]){f->a, f->b}, 2);
	chain.fail_open = true;
	steer(f, &chain);
	give(f, 10, 0);
	assert_true(rig_wait(rig_port_n_out(f->out) == 10));
	finish(f);
}

static void overload_is_shed_at_the_entry(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	struct counters chain;
	uint64_t drops;

	(void)state;
	steer_through(f, (struct service *[]){f->a, f->b}, 2);
	/* b never works: a may, but nothing may be lost between them */
	give(f, 1000, 0);
	assert_true(rig_wait((rig_nf_turn(a, 0), books_of(f).received == 1000)));
	drops = books_of(f).drops[DROP_CHAIN_OVERLOAD];
	assert_int_equal(drops, 1000 - 256);
	assert_int_equal(books_of(f).dropped, drops);
	engine_chain_counters(f->engine, "chain", &chain);
	assert_int_equal(chain.drops[DROP_CHAIN_OVERLOAD], drops);
	assert_true(
		rig_wait((rig_nf_turn(a, 0), rig_nf_turn(b, 0), rig_port_n_out(f->out) == 256)));
	give(f, 100, 0); /* and it recovers */
	assert_true(
		rig_wait((rig_nf_turn(a, 0), rig_nf_turn(b, 0), rig_port_n_out(f->out) == 356)));
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	finish(f);
}

static void change_lets_packets_finish_on_the_old_chain(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	struct counters counters;
	uint64_t words[10];

	(void)state;
	steer_through(f, (struct service *[]){f->a, f->b}, 2);
	give(f, 10, 0);
	take_n(a, words, 10);
	steer_through(f, &f->a, 1); /* b is not in the new chain */
	rig_nf_send(a, 0, words, 10);
	take_n(b, words, 10); /* but these still pass it */
	rig_nf_send(b, 0, words, 10);
	give(f, 10, 0);
	assert_true(rig_wait((rig_nf_turn(a, 0), rig_port_n_out(f->out) == 20)));
	engine_nf_counters(f->engine, b->nf, &counters);
	assert_int_equal(counters.tx_pkts, 10);
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	finish(f);
}

static void detour_comes_back_and_loops_end(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	struct rig_nf *b = rig_nf_new(f->engine, f->b, f->pool, "b1", 0);
	struct grant to_b = {.kind = NETVM_DESTINATION_SERVICE, .service = f->b};
	struct grant to_a = {.kind = NETVM_DESTINATION_SERVICE, .service = f->a};
	unsigned a_to_b, b_to_a;

	(void)state;
	assert_int_equal(engine_service_grant(f->engine, f->a, &to_b, 1, NULL), 0);
	assert_int_equal(engine_service_grant(f->engine, f->b, &to_a, 1, NULL), 0);
	steer_through(f, &f->a, 1);
	a_to_b = rig_nf_destination(a, NETVM_DESTINATION_SERVICE, "b");
	b_to_a = rig_nf_destination(b, NETVM_DESTINATION_SERVICE, "a");
	give(f, 10, 0);
	assert_true(rig_wait(
		(rig_nf_turn(a, a_to_b), rig_nf_turn(b, 0), rig_port_n_out(f->out) == 10)));
	give(f, 3, 0);
	assert_true(rig_wait((rig_nf_turn(a, a_to_b), rig_nf_turn(b, b_to_a),
		books_of(f).drops[DROP_LOOP] == 3)));
	rig_nf_free(f->engine, a);
	rig_nf_free(f->engine, b);
	finish(f);
}

static void stock_packets_are_injected(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", NETVM_FEATURE_STOCK);
	uint64_t words[64], packet;
	uint8_t *data;
	unsigned to_chain, n = 0;

	(void)state;
	steer_through(f, &f->a, 1);
	to_chain = rig_nf_destination(a, NETVM_DESTINATION_CHAIN, "chain");
	assert_true(to_chain > 0);
	assert_true(rig_wait((n = netvm_ring_take(&a->stock[0], words, 64)) > 3));
	/* what "next" means for a received packet is that destination, so a clone can take it */
	give(f, 1, 0);
	take_n(a, &packet, 1);
	assert_int_equal(netvm_desc_verdict(packet), to_chain);
	rig_nf_send(a, 0, &packet, 1);
	data = buffer_data(f->pool, words[0]);
	words[0] = netvm_desc(netvm_desc_index(words[0]), netvm_desc_generation(words[0]), 192,
		rig_udp(data, 1, 2, 3, 4), to_chain);
	words[1] = netvm_desc_set_verdict(words[1], NETVM_VERDICT_DROP);
	words[2] = netvm_desc_set_extent(netvm_desc_set_verdict(words[2], 0), 192, 60);
	rig_nf_send(a, 0, words, 3);
	assert_true(rig_wait(rig_port_n_out(f->out) == 2));
	assert_true(rig_wait(books_of(f).drops[DROP_NO_NEXT] == 1));
	assert_int_equal(books_of(f).injected, 2);
	rig_nf_free(f->engine, a);
	finish(f);
}

/* How many of `n` flows reach each of the instances. */
static void count_flows(
	struct fixture *f, struct rig_nf **nfs, unsigned n_nfs, unsigned n, uint8_t *owner)
{
	unsigned seen = 0;

	give(f, n, 100);
	assert_true(rig_wait(({
		for (unsigned i = 0; i < n_nfs; i++) {
			uint64_t words[64];
			unsigned got = rig_nf_take(nfs[i], 0, words, 64);

			for (unsigned k = 0; k < got; k++) {
				const uint8_t *data = buffer_data(f->pool, words[k]);

				owner[data[42] | data[43] << 8] = (uint8_t)i;
			}
			rig_nf_send(nfs[i], 0, words, got);
			seen += got;
		}
		seen == n;
	})));
	assert_true(rig_wait(rig_port_n_out(f->out) == n));
	while (rig_port_take(f->out))
		;
}

static void instances_share_flows_consistently(void **state)
{
	struct fixture *f = start(1);
	struct rig_nf *nfs[3];
	uint8_t two[200], again[200], three[200];
	unsigned first = 0, moved = 0, moved_wrong = 0;

	(void)state;
	nfs[0] = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	nfs[1] = rig_nf_new(f->engine, f->a, f->pool, "a2", 0);
	steer_through(f, &f->a, 1);
	count_flows(f, nfs, 2, 200, two);
	count_flows(f, nfs, 2, 200, again);
	assert_memory_equal(two, again, 200);
	for (unsigned i = 0; i < 200; i++)
		first += two[i] == 0;
	assert_in_range(first, 60, 140);
	nfs[2] = rig_nf_new(f->engine, f->a, f->pool, "a3", 0);
	count_flows(f, nfs, 3, 200, three);
	for (unsigned i = 0; i < 200; i++) {
		moved += three[i] != two[i];
		moved_wrong += three[i] != two[i] && three[i] != 2;
	}
	assert_in_range(moved, 30, 110); /* a third is ideal */
	assert_in_range(moved_wrong, 0, 20);
	for (unsigned i = 0; i < 3; i++)
		rig_nf_free(f->engine, nfs[i]);
	finish(f);
}

static void rules_choose_by_priority(void **state)
{
	struct fixture *f = start(1);
	struct program_options programs[3];
	struct rule rules[3];
	uint8_t frame[64];

	(void)state;
	set_chain(&programs[0], f, "rest", NULL, 0);
	programs[1] = (struct program_options){
		.name = "no", .n_steps = 1, .step = {{.op = PROGRAM_DROP, .reason = DROP_POLICY}}};
	for (unsigned i = 0; i < 3; i++)
		rules[i] = (struct rule){.match = match_all};
	rules[0].match.in_port = &f->in->port;
	rules[1].priority = 10;
	rules[1].program = 1;
	rules[1].match.has_protocol = true;
	rules[1].match.protocol = 17;
	rules[1].match.dst_port_min = 100;
	rules[1].match.dst_port_max = 199;
	rules[2].priority = 20; /* an exception above the drop */
	rules[2].match.src_prefix = 128;
	memcpy(rules[2].match.src, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x09\x09\x09", 16);
	assert_int_equal(engine_steer(f->engine, programs, 2, rules, 3, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		unsigned length =
			rig_udp(frame, i & 1 ? 0x0a090909 : 0x0a000001, 2, 3, (uint16_t)i);

		rig_port_give(f->in, frame, length);
	}
	assert_true(rig_wait(books_of(f).drops[DROP_POLICY] == 50));
	assert_true(rig_wait(rig_port_n_out(f->out) == 250));
	finish(f);
}

static void crossing_groups_copies_once(void **state)
{
	struct fixture *f = start(1);
	struct buffer_pool *other = new_pool(f->engine, "two");
	struct rig_port *far = new_port(f, "far", other);
	struct rule rule = {.match = match_all};
	struct program_options chain;
	struct error error = {0};

	(void)state;
	rule.match.in_port = &f->in->port;
	set_chain(&chain, f, "border", NULL, 0);
	chain.step[0].port = &far->port;
	chain.n_steps = 1;
	chain.cross_groups = true;
	assert_int_equal(engine_steer(f->engine, &chain, 1, &rule, 1, &error), 0);
	give(f, 100, 0);
	assert_true(rig_wait(rig_port_n_out(far) == 100));
	assert_int_equal(books_of(f).copied, 100);
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_port_detach(f->engine, &far->port);
	engine_pool_detach(f->engine, other);
	rig_port_free(far);
	buffer_pool_destroy(other);
	finish(f);
}

static void full_port_is_a_named_drop(void **state)
{
	struct fixture *f = start(1);

	(void)state;
	steer_through(f, NULL, 0);
	f->out->tx_limit = 0;
	give(f, 10, 0);
	assert_true(rig_wait(books_of(f).drops[DROP_PORT_TX_FULL] == 10));
	engine_port_set_up(f->engine, &f->out->port, false);
	give(f, 10, 0);
	assert_true(rig_wait(books_of(f).drops[DROP_PORT_DOWN] == 10));
	finish(f);
}

/* Frames of one flow leave in the order they came, however many workers there are. */
static void workers_keep_flows_in_order(void **state)
{
	struct fixture *f = start(3);
	struct rig_nf *a = rig_nf_new(f->engine, f->a, f->pool, "a1", 0);
	unsigned next[8] = {0}, worker_used = 0;
	uint8_t frame[64];

	(void)state;
	steer_through(f, &f->a, 1);
	for (unsigned i = 0; i < 2000; i++) {
		unsigned length = rig_udp(frame, 1, 2, 3, (uint16_t)(i % 8));

		frame[42] = (uint8_t)(i / 8);
		rig_port_give(f->in, frame, length);
		rig_nf_turn(a, 0);
		/* keep the load below what sheds */
		assert_true(rig_wait((rig_nf_turn(a, 0), i + 1 - rig_port_n_out(f->out) < 128)));
	}
	assert_true(rig_wait((rig_nf_turn(a, 0), rig_port_n_out(f->out) == 2000)));
	for (unsigned i = 0; i < 2000; i++) {
		const struct rig_frame *got = rig_port_take(f->out);
		unsigned flow = got->data[37];

		assert_int_equal(got->data[42], next[flow]++ & 0xff);
	}
	for (unsigned w = 0; w < 3; w++)
		worker_used += a->rx[w].own > 0;
	assert_int_equal(worker_used, 3); /* eight flows over three workers */
	rig_nf_free(f->engine, a);
	finish(f);
}

/* Packets handed over between workers are classified by the port they came in by. */
static void workers_tell_ports_apart(void **state)
{
	struct fixture *f = start(3);
	struct rig_port *other = new_port(f, "other", f->pool);
	struct program_options programs[2];
	struct rule rules[2] = {{.match = match_all}, {.match = match_all, .program = 1}};
	uint8_t frame[64];

	(void)state;
	set_chain(&programs[0], f, "chain", NULL, 0);
	programs[1] = (struct program_options){
		.name = "no", .n_steps = 1, .step = {{.op = PROGRAM_DROP, .reason = DROP_POLICY}}};
	rules[0].match.in_port = &f->in->port;
	rules[1].match.in_port = &other->port;
	rules[0].match.eth_type = rules[1].match.eth_type = 0x0800;
	assert_int_equal(engine_steer(f->engine, programs, 2, rules, 2, NULL), 0);
	for (unsigned i = 0; i < 500; i++) {
		unsigned length = rig_udp(frame, 1, 2, 3, (uint16_t)(i % 8));

		rig_port_give(f->in, frame, length);
		rig_port_give(other, frame, length);
	}
	assert_true(rig_wait(rig_port_n_out(f->out) == 500));
	assert_true(rig_wait(books_of(f).drops[DROP_POLICY] == 500));
	assert_int_equal(engine_steer(f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_port_detach(f->engine, &other->port);
	rig_port_free(other);
	finish(f);
}

static void bad_programs_are_refused(void **state)
{
	struct fixture *f = start(1);
	struct buffer_pool *other = new_pool(f->engine, "two");
	struct rig_port *far = new_port(f, "far", other);
	struct program_options chain;
	struct error error = {0};

	(void)state;
	set_chain(&chain, f, "border", &f->a, 1);
	chain.step[1].port = &far->port;
	assert_int_equal(engine_steer(f->engine, &chain, 1, NULL, 0, &error), -EINVAL);
	assert_string_equal(error.path, "cross_groups");
	memset(&error, 0, sizeof(error));
	chain.n_steps = 1;
	assert_int_equal(engine_steer(f->engine, &chain, 1, NULL, 0, &error), -EINVAL);
	assert_string_equal(error.path, "to");
	engine_port_detach(f->engine, &far->port);
	engine_pool_detach(f->engine, other);
	rig_port_free(far);
	buffer_pool_destroy(other);
	finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patch_without_services),
		cmocka_unit_test(no_chain_is_a_named_drop),
		cmocka_unit_test(through_two_nfs_in_order),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(forged_handles_are_refused),
		cmocka_unit_test(bad_extents_are_dropped),
		cmocka_unit_test(corrupt_ring_is_a_fault),
		cmocka_unit_test(death_gives_everything_back),
		cmocka_unit_test(failing_open_skips_the_service),
		cmocka_unit_test(overload_is_shed_at_the_entry),
		cmocka_unit_test(change_lets_packets_finish_on_the_old_chain),
		cmocka_unit_test(detour_comes_back_and_loops_end),
		cmocka_unit_test(stock_packets_are_injected),
		cmocka_unit_test(instances_share_flows_consistently),
		cmocka_unit_test(rules_choose_by_priority),
		cmocka_unit_test(crossing_groups_copies_once),
		cmocka_unit_test(full_port_is_a_named_drop),
		cmocka_unit_test(workers_keep_flows_in_order),
		cmocka_unit_test(workers_tell_ports_apart),
		cmocka_unit_test(bad_programs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
