/*
 * The classifier against a plain list walked from top to bottom: random rules, random packets, and
 * for each packet the same answer. Fixed seeds, so a failure can be repeated.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "engine/classifier.h"
#include "engine/datapath.h"
#include "engine/eal.h"

#define N_RULES   30
#define N_PACKETS 20000

static uint64_t seed;

/* xorshift64*; below n. */
static uint32_t draw(uint32_t n)
{
	seed ^= seed >> 12;
	seed ^= seed << 25;
	seed ^= seed >> 27;
	return (uint32_t)((seed * UINT64_C(2685821657736338717)) >> 33) % n;
}

/* Few different values in each place, so that rules and packets meet. */
static void draw_address(uint8_t address[16], uint8_t family)
{
	memset(address, 0, 16);
	if (family == 4) {
		address[10] = address[11] = 0xff;
		address[12] = 10;
		address[13] = (uint8_t)draw(2);
		address[15] = (uint8_t)draw(4);
		return;
	}
	address[0] = 0x20;
	address[1] = (uint8_t)draw(2);
	address[7] = (uint8_t)draw(4);
	address[15] = (uint8_t)draw(4);
}

static void draw_range(uint16_t *min, uint16_t *max)
{
	*min = 0;
	*max = 65535;
	if (draw(2))
		return;
	*min = (uint16_t)draw(20);
	*max = (uint16_t)(*min + draw(20));
}

static void draw_match(struct match *match, struct port *ports)
{
	memset(match, 0, sizeof(*match));
	match->family = (uint8_t[]){0, 4, 6}[draw(3)];
	if (draw(3) == 0)
		match->in_port = &ports[draw(3)];
	if (draw(5) == 0)
		match->eth_type = draw(2) ? 0x0800 : 0x86dd;
	if (draw(4) == 0) {
		match->has_vlan = true;
		match->vlan = (uint16_t)draw(3);
	}
	if (draw(3) == 0) {
		match->has_protocol = true;
		match->protocol = draw(2) ? 6 : 17;
	}
	draw_address(match->src, match->family ? match->family : 4);
	draw_address(match->dst, match->family ? match->family : 4);
	match->src_prefix = draw(2) ? 0 : (uint8_t)(draw(4) ? 64 + draw(65) : draw(65));
	match->dst_prefix = draw(2) ? 0 : (uint8_t)(draw(4) ? 64 + draw(65) : draw(65));
	draw_range(&match->src_port_min, &match->src_port_max);
	draw_range(&match->dst_port_min, &match->dst_port_max);
}

static void draw_packet(struct flow_id *id, const struct port *ports)
{
	memset(id, 0, sizeof(*id));
	id->in_port = ports[draw(3)].number;
	id->key.family = draw(2) ? 4 : 6;
	id->key.eth_type = id->key.family == 4 ? 0x0800 : 0x86dd;
	id->key.vlan_tci = (uint16_t)(draw(3) | draw(8) << 13);
	id->key.protocol = (uint8_t[]){1, 6, 17}[draw(3)];
	draw_address(id->key.src, id->key.family);
	draw_address(id->key.dst, id->key.family);
	id->key.src_port = (uint16_t)draw(40);
	id->key.dst_port = (uint16_t)draw(40);
}

static bool prefix_matches(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	for (unsigned i = 0; i < bits; i++)
		if ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

static bool matches(const struct match *match, const struct flow_id *id)
{
	const struct netvm_flow_key *key = &id->key;

	return (!match->in_port || match->in_port->number == id->in_port) &&
	       (!match->eth_type || match->eth_type == key->eth_type) &&
	       (!match->has_vlan || match->vlan == (key->vlan_tci & 0xfff)) &&
	       (!match->family || match->family == key->family) &&
	       (!match->has_protocol || match->protocol == key->protocol) &&
	       prefix_matches(match->src, key->src, match->src_prefix) &&
	       prefix_matches(match->dst, key->dst, match->dst_prefix) &&
	       key->src_port >= match->src_port_min && key->src_port <= match->src_port_max &&
	       key->dst_port >= match->dst_port_min && key->dst_port <= match->dst_port_max;
}

static uint32_t walk(const struct rule *rules, unsigned n, const struct flow_id *id)
{
	const struct rule *best = NULL;

	for (unsigned i = 0; i < n; i++)
		if (matches(&rules[i].match, id) && (!best || rules[i].priority > best->priority))
			best = &rules[i];
	return best ? best->program : CLASSIFIER_NO_MATCH;
}

static void same_answer_as_a_list(void **state)
{
	struct port ports[3] = {{.number = 1}, {.number = 2}, {.number = 300}};
	unsigned n_matched = 0;

	(void)state;
	for (unsigned round = 1; round <= 10; round++) {
		struct classifier *classifier = NULL;
		struct rule rules[N_RULES];
		struct error error = {0};

		seed = round * UINT64_C(0x9e3779b97f4a7c15);
		for (unsigned i = 0; i < N_RULES; i++) {
			draw_match(&rules[i].match, ports);
			rules[i].priority = (int32_t)draw(30) - 15; /* ties and negatives */
			rules[i].program = i;
		}
		if (classifier_create(rules, N_RULES, &classifier, &error))
			fail_msg("%s: %s", error.path, error.message);
		for (unsigned i = 0; i < N_PACKETS / 10; i++) {
			struct flow_id id;
			uint32_t expected;

			draw_packet(&id, ports);
			expected = walk(rules, N_RULES, &id);
			n_matched += expected != CLASSIFIER_NO_MATCH;
			assert_int_equal(classifier_match(classifier, &id), expected);
		}
		classifier_destroy(classifier);
	}
	/* the test means something only if both answers occur often */
	assert_in_range(n_matched, N_PACKETS / 10, N_PACKETS * 9 / 10);
}

static int start_eal(void **state)
{
	(void)state;
	return eal_start(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(same_answer_as_a_list)};

	return cmocka_run_group_tests(tests, start_eal, NULL);
}
