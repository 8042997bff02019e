/*
 * What crosses the border of a group: the packet, once at each border, what is known of it, and
 * nothing else. Like all tests of the engine they end with balanced books and all buffers free.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/test_fixture.h"

#define N_FAR  256u /* buffers of the other group */
#define ROOM   512u /* bytes of each, headroom included */
#define N_PKTS 10u
#define MARK   UINT64_C(0x6d61726b6d61726b)
#define NEAR   0xee /* what lies around in the first group */
#define FAR    0xdd /* and in the other one */

/* in ─► near (group one) ─► far (group two) ─► near again ─► out */
struct crossing {
	struct fixture *f;
	struct buffer_pool *pool;
	struct service *far;
	struct rig_nf *near_nf, *far_nf, *back_nf;
};

static struct buffer_pool *small_pool(struct engine *engine)
{
	const struct buffer_pool_options options = {
		.name = "two", .n_buffers = N_FAR, .buffer_bytes = ROOM, .huge_pages = 0};
	struct buffer_pool *pool = NULL;

	assert_int_equal(buffer_pool_create(&options, &pool, NULL), 0);
	assert_int_equal(engine_pool_attach(engine, pool, NULL), 0);
	return pool;
}

static struct crossing start(uint32_t near_features, uint32_t far_features)
{
	struct crossing c = {.f = fixture_start(1)};
	struct program_options chain;

	c.pool = small_pool(c.f->engine);
	assert_int_equal(engine_service_create(c.f->engine, "far", c.pool, &c.far, NULL), 0);
	c.near_nf = rig_nf_new(c.f->engine, c.f->a, c.f->pool, "near", near_features);
	c.far_nf = rig_nf_new(c.f->engine, c.far, c.pool, "far", far_features);
	c.back_nf = rig_nf_new(c.f->engine, c.f->b, c.f->pool, "back", near_features);
	memset(c.f->pool->base, NEAR, (size_t)c.f->pool->n_buffers * c.f->pool->stride);
	memset(c.pool->base, FAR, (size_t)c.pool->n_buffers * c.pool->stride);
	fixture_chain(&chain, c.f, "border", (struct service *[]){c.f->a, c.far, c.f->b}, 3);
	chain.cross_groups = true;
	fixture_steer(c.f, &chain);
	return c;
}

static void finish(struct crossing *c)
{
	assert_true(rig_wait(fixture_books(c->f).in_flight == 0));
	rig_nf_free(c->f->engine, c->near_nf);
	rig_nf_free(c->f->engine, c->far_nf);
	rig_nf_free(c->f->engine, c->back_nf);
	assert_int_equal(engine_steer(c->f->engine, NULL, 0, NULL, 0, NULL), 0);
	engine_service_destroy(c->f->engine, c->far);
	engine_pool_detach(c->f->engine, c->pool);
	buffer_pool_destroy(c->pool);
	fixture_finish(c->f);
}

/* Exactly n packets that have come to this NF. */
static void take(struct rig_nf *nf, uint64_t *words, unsigned n)
{
	unsigned got = 0;

	assert_true(rig_wait((got += rig_nf_take(nf, 0, words + got, n - got)) == n));
}

static struct counters chain_counters(const struct crossing *c)
{
	struct counters counters;

	engine_chain_counters(c->f->engine, "border", &counters);
	return counters;
}

static struct netvm_meta *meta_of(const struct buffer_pool *pool, uint64_t word)
{
	return (struct netvm_meta *)(void *)buffer_slot(pool, word);
}

static unsigned n_bytes_of(const struct buffer_pool *pool, uint8_t byte)
{
	unsigned n = 0;

	for (size_t i = 0; i < (size_t)pool->n_buffers * pool->stride; i++)
		n += pool->base[i] == byte;
	return n;
}

/* ---------------------------------------------------------------------------------------------- */

static void bytes_are_the_same_and_copied_once_at_each_border(void **state)
{
	struct crossing c = start(0, 0);
	uint64_t near[N_PKTS], far[N_PKTS];
	unsigned before = n_bytes_of(c.pool, FAR), length;

	(void)state;
	fixture_give(c.f, N_PKTS, 0);
	take(c.near_nf, near, N_PKTS);
	assert_int_equal(chain_counters(&c).copied, 0);
	rig_nf_send(c.near_nf, 0, near, N_PKTS);
	take(c.far_nf, far, N_PKTS);
	length = netvm_desc_length(far[0]);
	for (unsigned i = 0; i < N_PKTS; i++) {
		assert_int_equal(netvm_desc_length(far[i]), netvm_desc_length(near[i]));
		assert_memory_equal(
			buffer_data(c.pool, far[i]), buffer_data(c.f->pool, near[i]), length);
	}
	/* Not one byte more of the other group's memory was written. */
	assert_int_equal(n_bytes_of(c.pool, FAR), before - N_PKTS * length);
	assert_int_equal(chain_counters(&c).copied, N_PKTS);
	rig_nf_send(c.far_nf, 0, far, N_PKTS);
	assert_true(rig_wait((rig_nf_turn(c.back_nf, 0), rig_port_n_out(c.f->out) == N_PKTS)));
	assert_int_equal(chain_counters(&c).copied, 2 * N_PKTS);
	assert_int_equal(fixture_books(c.f).copied, 2 * N_PKTS);
	finish(&c);
}

/* What the other group does to its copy does not change what the first one has in its hands. */
static void the_original_is_out_of_reach(void **state)
{
	struct crossing c = start(0, 0);
	uint64_t near[N_PKTS], far[N_PKTS];

	(void)state;
	fixture_give(c.f, N_PKTS, 0);
	take(c.near_nf, near, N_PKTS);
	rig_nf_send(c.near_nf, 0, near, N_PKTS);
	take(c.far_nf, far, N_PKTS);
	/* the buffer it came from is free: its handle means nothing any more */
	rig_nf_send(c.near_nf, 0, near, N_PKTS);
	rig_nf_send(c.far_nf, 0, near, N_PKTS);
	rig_nf_send(c.far_nf, 0, far, N_PKTS);
	assert_true(rig_wait((rig_nf_turn(c.back_nf, 0), rig_port_n_out(c.f->out) == N_PKTS)));
	finish(&c);
}

static void metadata_goes_along(void **state)
{
	struct crossing c = start(NETVM_FEATURE_META, NETVM_FEATURE_META);
	struct netvm_meta first[N_PKTS];
	uint64_t words[N_PKTS];

	(void)state;
	fixture_give(c.f, N_PKTS, 0);
	take(c.near_nf, words, N_PKTS);
	for (unsigned i = 0; i < N_PKTS; i++) {
		struct netvm_meta *meta = meta_of(c.f->pool, words[i]);

		assert_int_equal(meta->user[0], 0);
		meta->user[3] = MARK + i;
		first[i] = *meta;
	}
	rig_nf_send(c.near_nf, 0, words, N_PKTS);
	take(c.far_nf, words, N_PKTS);
	for (unsigned i = 0; i < N_PKTS; i++) {
		const struct netvm_meta *meta = meta_of(c.pool, words[i]);

		assert_int_equal(meta->arrival_ns, first[i].arrival_ns);
		assert_int_equal(meta->flow_hash, first[i].flow_hash);
		assert_int_equal(meta->in_port, first[i].in_port);
		assert_int_equal(meta->chain, first[i].chain);
		assert_memory_equal(meta->user, first[i].user, sizeof(meta->user));
	}
	rig_nf_send(c.far_nf, 0, words, N_PKTS);
	assert_true(rig_wait((rig_nf_turn(c.back_nf, 0), rig_port_n_out(c.f->out) == N_PKTS)));
	finish(&c);
}

/* Nobody wrote meta.user of these packets: what stands there is older, and of either group. */
static void stale_metadata_does_not(void **state)
{
	struct crossing c = start(0, NETVM_FEATURE_META);
	const uint64_t nothing[4] = {0};
	uint64_t words[N_PKTS];

	(void)state;
	fixture_give(c.f, N_PKTS, 0);
	take(c.near_nf, words, N_PKTS);
	rig_nf_send(c.near_nf, 0, words, N_PKTS);
	take(c.far_nf, words, N_PKTS);
	for (unsigned i = 0; i < N_PKTS; i++)
		assert_memory_equal(meta_of(c.pool, words[i])->user, nothing, sizeof(nothing));
	rig_nf_send(c.far_nf, 0, words, N_PKTS);
	assert_true(rig_wait((rig_nf_turn(c.back_nf, 0), rig_port_n_out(c.f->out) == N_PKTS)));
	finish(&c);
}

/* The other group's NF holds all it can get and its stock the rest: who finds no buffer is dropped.
 */
static void no_buffer_is_a_named_drop(void **state)
{
	struct crossing c = start(0, NETVM_FEATURE_STOCK);
	uint64_t far[RING], drops, arrived = 0;
	unsigned n = 0;

	(void)state;
	for (drops = 0; drops == 0; drops = chain_counters(&c).drops[DROP_NO_BUFFERS]) {
		fixture_give(c.f, 32, 0);
		arrived += 32;
		assert_true(rig_wait((rig_nf_turn(c.near_nf, 0),
			n += rig_nf_take(c.far_nf, 0, far + n, RING - n),
			n + fixture_books(c.f).dropped == arrived)));
	}
	assert_int_equal(fixture_books(c.f).drops[DROP_NO_BUFFERS], drops);
	assert_int_equal(chain_counters(&c).copied, n);
	/* and nothing stays reserved: as many as before find room again */
	rig_nf_send(c.far_nf, 0, far, n);
	assert_true(rig_wait((rig_nf_turn(c.back_nf, 0), rig_port_n_out(c.f->out) == n)));
	fixture_give(c.f, n, 0);
	assert_true(rig_wait(
		(rig_nf_turn(c.near_nf, 0), rig_nf_turn(c.far_nf, 0), rig_nf_turn(c.back_nf, 0),
			rig_port_n_out(c.f->out) + fixture_books(c.f).dropped == arrived + n)));
	finish(&c);
}

static void too_long_is_a_named_drop(void **state)
{
	struct crossing c = start(0, 0);
	uint64_t words[N_PKTS];

	(void)state;
	fixture_give(c.f, N_PKTS, 0);
	take(c.near_nf, words, N_PKTS);
	words[0] = netvm_desc_set_extent(words[0], c.f->pool->headroom, buffer_room(c.pool) + 1);
	words[1] = netvm_desc_set_extent(words[1], c.f->pool->headroom, buffer_room(c.pool));
	rig_nf_send(c.near_nf, 0, words, N_PKTS);
	assert_true(rig_wait((rig_nf_turn(c.far_nf, 0), rig_nf_turn(c.back_nf, 0),
		rig_port_n_out(c.f->out) == N_PKTS - 2)));
	assert_int_equal(chain_counters(&c).drops[DROP_COPY_TOO_LONG], 1);
	assert_int_equal(chain_counters(&c).copied, 2 * (N_PKTS - 1));
	/* the other one crossed, and is too long for the port */
	assert_int_equal(fixture_books(c.f).drops[DROP_PORT_TX_SIZE], 1);
	finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_are_the_same_and_copied_once_at_each_border),
		cmocka_unit_test(the_original_is_out_of_reach),
		cmocka_unit_test(metadata_goes_along),
		cmocka_unit_test(stale_metadata_does_not),
		cmocka_unit_test(no_buffer_is_a_named_drop),
		cmocka_unit_test(too_long_is_a_named_drop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
