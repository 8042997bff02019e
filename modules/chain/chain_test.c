/* What chains and flows compile to, seen by a fake engine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "manager/testing/daemon.h"
#include "manager/testing/fake.h"
#include "modules/nf/nf.h"
#include "modules/port/control.h"

#define BASE                                                                                       \
	"ports: {lan: {spec: 'fake:lan'}, wan: {spec: 'fake:wan'}, dmz: {spec: 'fake:dmz'}}\n"     \
	"nfs: {fw1: {service: fw}, fw2: {service: fw}, ids: {}, dpi: {}}\n"

static void directions_follow_reverse(void **state)
{
	(void)state;
	apply(BASE "chains:\n"
		   "  a: {from: lan, to: wan, path: [fw, ids, dpi], default: false}\n"
		   "  b: {from: lan, to: wan, path: [fw, ids], reverse: same, default: false}\n"
		   "  c: {from: lan, to: wan, path: [fw], reverse: none, on_failure: open, "
		   "default: false}\n"
		   "  d: {from: dmz, to: wan, default: false}\n");
	assert_int_equal(fake.n_programs, 7);
	assert_string_equal(fake_steps(0), "fw ids dpi >wan");
	assert_string_equal(fake_steps(1), "dpi ids fw >lan");
	assert_string_equal(fake_steps(2), "fw ids >wan");
	assert_string_equal(fake_steps(3), "fw ids >lan");
	assert_string_equal(fake_steps(4), "fw >wan");
	assert_string_equal(fake_steps(5), ">wan");
	assert_string_equal(fake_steps(6), ">dmz");
	assert_int_equal(fake.programs[0].on_failure, ON_FAILURE_CLOSED);
	assert_int_equal(fake.programs[4].on_failure, ON_FAILURE_OPEN);
	assert_int_equal(fake.programs[1].direction, 1);
	assert_int_equal(fake.n_rules, 0); /* neither flows nor a default */
}

static void failure_modes_reach_the_engine(void **state)
{
	json_t *error;

	(void)state;
	apply(BASE "chains:\n"
		   "  a: {from: lan, to: wan, path: [fw], on_failure: hold, hold_pkts: 7, "
		   "hold_ms: 9}\n");
	assert_int_equal(fake.programs[1].on_failure, ON_FAILURE_HOLD);
	assert_int_equal(fake.programs[1].hold_pkts, 7);
	assert_int_equal(fake.programs[1].hold_ms, 9);
	apply(BASE "chains: {a: {from: lan, to: wan, path: [fw], guard_crashes: 3, guard: bypass, "
		   "guard_s: 5}}\n");
	assert_int_equal(fake.programs[0].guard_crashes, 3);
	assert_int_equal(fake.programs[1].guard_ms, 5000);
	assert_true(fake.programs[0].guard_bypass);
	error = apply_error("ports: {lan: {spec: 'fake:lan'}, wan: {spec: 'fake:wan'}}\n"
			    "nfs: {fw1: {service: fw}}\n"
			    "chains: {a: {from: lan, to: wan, path: [fw], on_failure: standby}}\n");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(error, "data"), "path")),
		"chains.a.on_failure");
	json_decref(error);
	apply("ports: {lan: {spec: 'fake:lan'}, wan: {spec: 'fake:wan'}}\n"
	      "nfs: {fw1: {service: fw}, fw2: {service: fw, standby: true}}\n"
	      "chains: {a: {from: lan, to: wan, path: [fw], on_failure: standby}}\n");
	assert_int_equal(fake.programs[0].on_failure, ON_FAILURE_CLOSED);
}

static void default_chains_take_their_ports(void **state)
{
	(void)state;
	apply(BASE "chains: {a: {from: lan, to: wan},"
		   " b: {from: dmz, to: lan, reverse: none, default: true}}\n");
	assert_int_equal(fake.n_rules, 3);
	assert_string_equal(fake_steps(fake_rule("lan", -1)->program), ">wan");
	assert_string_equal(fake_steps(fake_rule("wan", -1)->program), ">lan");
	assert_string_equal(fake_steps(fake_rule("dmz", -1)->program), ">lan");
}

/* A chain that a flow names takes only what flows give it, unless it says otherwise. */
static void chains_of_flows_are_not_default(void **state)
{
	(void)state;
	apply(BASE "chains: {a: {from: lan, to: wan}, b: {from: lan, to: dmz, reverse: none}}\n"
		   "flows: {f: {match: {vlan: 3}, chain: b}}\n");
	assert_string_equal(fake_steps(fake_rule("lan", -1)->program), ">wan");
	apply(BASE "chains: {a: {from: lan, to: wan, default: true}}\n"
		   "flows: {f: {match: {vlan: 3}, chain: a}}\n");
	assert_string_equal(fake_steps(fake_rule("lan", -1)->program), ">wan");
}

static void flows_match_and_replies_are_mirrored(void **state)
{
	const struct match *match;

	(void)state;
	apply(BASE "chains: {a: {from: lan, to: wan, path: [fw]}}\n"
		   "flows: {f: {match: {vlan: 20, src: 10.0.0.0/8, dst_port: 80-90, protocol: tcp},"
		   " priority: 7, chain: a}}\n");
	assert_int_equal(fake.n_rules, 2);
	match = &fake_rule("lan", 7)->match;
	assert_true(match->has_vlan);
	assert_int_equal(match->vlan, 20);
	assert_int_equal(match->family, 4);
	assert_int_equal(match->protocol, 6);
	assert_int_equal(match->src[12], 10);
	assert_int_equal(match->src_prefix, 104);
	assert_int_equal(match->dst_port_min, 80);
	assert_int_equal(match->dst_port_max, 90);
	assert_int_equal(match->src_port_max, 65535);
	assert_string_equal(fake_steps(fake_rule("lan", 7)->program), "fw >wan");
	match = &fake_rule("wan", 7)->match;
	assert_int_equal(match->dst[12], 10);
	assert_int_equal(match->dst_prefix, 104);
	assert_int_equal(match->src_prefix, 0);
	assert_int_equal(match->src_port_min, 80);
	assert_int_equal(match->dst_port_max, 65535);
	assert_string_equal(fake_steps(fake_rule("wan", 7)->program), "fw >lan");
}

static void flows_may_go_one_way(void **state)
{
	(void)state;
	apply(BASE "chains: {a: {from: lan, to: wan}}\n"
		   "flows: {f: {match: {vlan: 0}, mirror: false, chain: a}}\n");
	assert_int_equal(fake.n_rules, 1);
	assert_true(fake.rules[0].match.has_vlan);
}

static void flows_may_drop_or_leave_by_a_port(void **state)
{
	(void)state;
	apply(BASE "flows: {f: {match: {eth_type: arp}, port: dmz, priority: 1},"
		   " g: {match: {in_port: lan, dst: '::/0'}, drop: true, priority: 2}}\n");
	assert_int_equal(fake.n_rules, 2);
	assert_string_equal(fake_steps(fake_rule("", 1)->program), ">dmz");
	assert_int_equal(fake_rule("", 1)->match.eth_type, 0x0806);
	assert_string_equal(fake_steps(fake_rule("lan", 2)->program), "!policy");
	assert_int_equal(fake_rule("lan", 2)->match.family, 6);
}

static bool is_granted(const char *service, const struct port *port, const struct service *other)
{
	uint32_t number = service_number(nf_service(service)) % 16;

	for (unsigned i = 0; i < fake.n_grants[number]; i++)
		if (fake.grants[number][i].port == port && fake.grants[number][i].service == other)
			return true;
	return false;
}

static void services_are_granted_what_their_chains_have(void **state)
{
	(void)state;
	apply(BASE "chains: {a: {from: lan, to: wan, path: [fw, ids]},"
		   " b: {from: lan, to: dmz, path: [dpi], default: false}}\n");
	assert_int_equal(fake.n_grants[service_number(nf_service("fw")) % 16], 3);
	assert_true(is_granted("fw", port_find("lan"), NULL));
	assert_true(is_granted("fw", port_find("wan"), NULL));
	assert_true(is_granted("fw", NULL, nf_service("ids")));
	assert_false(is_granted("fw", port_find("dmz"), NULL));
	assert_false(is_granted("fw", NULL, nf_service("fw")));
	assert_false(is_granted("dpi", NULL, nf_service("ids")));
	apply(BASE);
	assert_int_equal(fake.n_grants[service_number(nf_service("fw")) % 16], 0);
}

static void numbers_stay_with_their_chains(void **state)
{
	uint16_t number;

	(void)state;
	apply(BASE "chains: {a: {from: lan, to: wan}, b: {from: lan, to: dmz, reverse: none, "
		   "default: false}}\n");
	number = fake.programs[2].chain;
	assert_int_not_equal(number, fake.programs[0].chain);
	apply(BASE "chains: {c: {from: lan, to: wan}, b: {from: lan, to: dmz, reverse: none, "
		   "default: false}}\n");
	assert_int_equal(fake.programs[2].chain, number);
}

static void one_change_steers_once(void **state)
{
	int before;

	(void)state;
	apply(BASE);
	before = fake.n_steered;
	apply(BASE "chains: {a: {from: lan, to: wan}, b: {from: dmz, to: lan}}\n"
		   "flows: {f: {match: {vlan: 3}, chain: b}}\n");
	assert_int_equal(fake.n_steered, before + 1);
}

static void a_refused_steering_changes_nothing(void **state)
{
	char *before, *after;
	json_t *error;

	(void)state;
	apply(BASE "chains: {a: {from: lan, to: wan, path: [fw]}}\n");
	before = running_document();
	fake.steer_fails = true;
	error = apply_error("ports: {lan: {spec: 'fake:lan'}, x: {spec: 'fake:x'}}\n"
			    "groups: {more: {}}\n");
	fake.steer_fails = false;
	json_decref(error);
	after = running_document();
	assert_string_equal(after, before);
	assert_int_equal(fake.n_ports, 3);
	assert_int_equal(fake.n_pools, 1);
	assert_int_equal(fake.n_services, 3);
	free(before);
	free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		daemon_test(directions_follow_reverse),
		daemon_test(failure_modes_reach_the_engine),
		daemon_test(default_chains_take_their_ports),
		daemon_test(chains_of_flows_are_not_default),
		daemon_test(flows_match_and_replies_are_mirrored),
		daemon_test(flows_may_go_one_way),
		daemon_test(flows_may_drop_or_leave_by_a_port),
		daemon_test(services_are_granted_what_their_chains_have),
		daemon_test(numbers_stay_with_their_chains),
		daemon_test(one_change_steers_once),
		daemon_test(a_refused_steering_changes_nothing),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
