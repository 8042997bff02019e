/*
 * What a caller can get wrong, over the real store, RPC and server: each is a clear error with
 * code, path, message and hint; nothing changed, nothing leaked.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "manager/store.h"
#include "manager/testing/daemon.h"
#include "manager/testing/fake.h"

static const char running[] =
	"groups: {other: {}}\n"
	"ports: {lan: {spec: 'fake:lan'}, wan: {spec: 'fake:wan'}, far: {spec: 'fake:far', group: "
	"other}}\n"
	"nfs: {fw: {service: firewall}, ids: {}}\n"
	"chains: {web: {from: lan, to: wan, path: [firewall], default: true}}\n"
	"flows: {telnet: {match: {protocol: tcp, dst_port: 23}, drop: true}}\n";

/* A document that adds `text` to nothing, or a call; and the error wanted. */
struct wrong {
	const char *method; /* NULL: config.apply with `text` as the YAML of a document */
	const char *text;
	const char *code, *path, *message, *hint;
};

#define LAN "ports: {lan: {spec: 'fake:lan'}, wan: {spec: 'fake:wan'}}\n"
#define FW  "nfs: {fw: {service: firewall}}\n"

static const struct wrong cases[] = {
	/* unknown keys */
	{NULL, "prots: {}", "EINVAL", "prots", "unknown section", "did you mean ports?"},
	{NULL, "ports: {lan: {spec: 'fake:a', mut: 9}}", "EINVAL", "ports.lan.mut", "unknown field",
		"did you mean mtu?"},
	{NULL, "flows: {f: {match: {vlam: 1}, drop: true}}", "EINVAL", "flows.f.match.vlam",
		"unknown field", "did you mean vlan?"},
	{NULL, "engine: {worker: 1}", "EINVAL", "engine.worker", "unknown field", "workers"},
	/* wrong types, missing fields */
	{NULL, "[]", "EINVAL", "", "a list is not a document", "a map of sections"},
	{NULL, "", "EINVAL", "", "the document is empty", "{} is the document"},
	{NULL, "# nothing but a {remark}", "EINVAL", "", "the document is empty",
		"{} is the document"},
	{NULL, "ports: 3", "EINVAL", "ports", "a number", "a map of names"},
	{NULL, "ports: {lan: 3}", "EINVAL", "ports.lan", "a number", "a map of fields"},
	{NULL, "ports: {lan: {}}", "EINVAL", "ports.lan.spec", "must be given", "a text"},
	{NULL, "ports: {lan: {spec: 'fake:a', up: on}}", "EINVAL", "ports.lan.up", "\"on\"",
		"true or false"},
	/* values out of range */
	{NULL, "ports: {lan: {spec: 'fake:a', mtu: 67}}", "EINVAL", "ports.lan.mtu", "67",
		"68..15000 (bytes)"},
	{NULL, "ports: {lan: {spec: 'fake:a', mtu: 9000}}", "EINVAL", "ports.lan.mtu",
		"does not fit a buffer of group default", "at most 1834"},
	{NULL, "engine: {workers: 0}", "EINVAL", "engine.workers", "0", "1..16"},
	{NULL, "engine: {cpus: [1023]}", "ENODEV", "engine.cpus.0", "no CPU 1023", "0.."},
	{NULL, "engine: {cpus: [0, 0]}", "EINVAL", "engine.cpus", "2 CPUs for 1 workers",
		"at most"},
	{NULL, "engine: {flow_cache: 1000}", "EINVAL", "engine.flow_cache", "1000", "power of two"},
	{NULL, "groups: {g: {huge_pages: perhaps}}", "EINVAL", "groups.g.huge_pages", "perhaps",
		"auto, never, always"},
	{NULL, "groups: {g: {huge_pages: always}}", "ENOMEM", "groups.g.huge_pages",
		"no huge pages", "auto"},
	/* names */
	{NULL, "ports: {a23456789012345678901234567890123: {spec: 'fake:a'}}", "ENAMETOOLONG",
		"ports.a23456789012345678901234567890123", "too long", "1 to 31"},
	{NULL, "ports: {'a b': {spec: 'fake:a'}}", "EINVAL", "ports.a b", "not a name", "1 to 31"},
	{NULL, "ports: {lan: {spec: 'fake:a'}, lan: {spec: 'fake:b'}}", "EEXIST", "1:32",
		"given twice: lan", "remove or rename"},
	/* dangling references */
	{NULL, "ports: {lan: {spec: 'fake:a', group: g}}", "ENOENT", "ports.lan.group", "\"g\"",
		"groups there are: default"},
	{NULL, LAN "chains: {web: {from: lan, to: dmz}}", "ENOENT", "chains.web.to", "\"dmz\"",
		"ports there are: lan, wan"},
	{NULL, LAN FW "chains: {web: {from: lan, to: wan, path: [ids]}}", "ENOENT",
		"chains.web.path.0", "no NF provides the service \"ids\"", "firewall"},
	{NULL, LAN "flows: {f: {chain: web}}", "EBUSY", "flows.f.chain", "uses chain \"web\"",
		"delete the flow"},
	{NULL, LAN "flows: {f: {match: {in_port: dmz}, drop: true}}", "ENOENT",
		"flows.f.match.in_port", "\"dmz\"", "lan, wan"},
	/* loops and contradictions */
	{NULL, LAN FW "chains: {web: {from: lan, to: wan, path: [firewall, firewall]}}", "ELOOP",
		"chains.web.path.1", "twice", "at most once"},
	{NULL, LAN "chains: {web: {from: lan, to: lan}}", "EINVAL", "chains.web.reverse",
		"no reverse direction", "reverse: none"},
	{NULL,
		LAN "chains: {a: {from: lan, to: wan, default: true},"
		    " b: {from: wan, to: lan, reverse: none, default: true}}",
		"EEXIST", "chains.b.default", "chain a takes everything from port wan",
		"say default: false"},
	{NULL, LAN "flows: {f: {}}", "EINVAL", "flows.f", "does not say what to do", "exactly one"},
	{NULL, LAN "flows: {f: {drop: true, port: lan}}", "EINVAL", "flows.f", "more than one",
		"exactly one"},
	{NULL,
		LAN "chains: {web: {from: lan, to: wan}}\n"
		    "flows: {f: {match: {in_port: wan}, chain: web}}",
		"EINVAL", "flows.f.match.in_port", "takes packets from port lan", "leave it out"},
	{NULL, LAN "flows: {f: {match: {src: 10.0.0.1, dst: '::1'}, drop: true}}", "EINVAL",
		"flows.f.match.dst", "different IP versions", "IPv4 both"},
	{NULL, LAN "flows: {f: {match: {eth_type: arp, dst: '::1'}, drop: true}}", "EINVAL",
		"flows.f.match.eth_type", "has such addresses", "leave it out"},
	/* group borders */
	{NULL,
		"groups: {g: {}}\nports: {a: {spec: 'fake:a'}, b: {spec: 'fake:b', group: g}}\n"
		"chains: {c: {from: a, to: b}}",
		"EXDEV", "chains.c.cross_groups", "is in group g", "cross_groups: true"},
	{NULL,
		"groups: {g: {}}\nports: {a: {spec: 'fake:a'}, b: {spec: 'fake:b', group: g}}\n"
		"flows: {f: {port: b}}",
		"EXDEV", "flows.f.port", "another group", "match.in_port"},
	/* what only opening shows: everything made before it is undone */
	{NULL, "ports: {x: {spec: 'fake:x'}, lan: {spec: 'fake:lan'}, y: {spec: 'fake:nothing'}}",
		"ENODEV", "ports.y.spec", "no interface nothing", "ip link"},
	{NULL, "ports: {x: {spec: 'fake:x'}, y: {spec: 'fake:x'}}", "EBUSY", "ports.y.spec",
		"in use", ""},
	{NULL, "ports: {lan: {spec: 'tap:lan0'}}", "EINVAL", "ports.lan.spec", "no driver \"tap\"",
		"fake:DEVICE"},
	{NULL, "ports: {lan: {spec: lan0}}", "EINVAL", "ports.lan.spec", "a colon is missing",
		"fake:DEVICE"},
	/* not YAML */
	{NULL, "ports:\n\tlan: 1", "EINVAL", "2:1", "not YAML", "not tabs"},
	{NULL, "a: &a [*a]", "EINVAL", "1:4", "no anchors or aliases", "write the value out"},
	/* patches */
	{"config.patch",
		"{'changes': [{'op': 'add', 'section': 'ports', 'name': 'lan',"
		" 'value': {'spec': 'fake:x'}}]}",
		"EEXIST", "ports.lan", "port \"lan\" exists already", "use set"},
	{"config.patch",
		"{'changes': [{'op': 'set', 'section': 'ports', 'name': 'lna',"
		" 'value': {'mtu': 1400}}]}",
		"ENOENT", "ports.lna", "unknown port", "did you mean lan?"},
	{"config.patch", "{'changes': [{'op': 'del', 'section': 'nfs', 'name': 'fw'}]}", "ENOENT",
		"chains.web.path.0", "firewall", "ids"},
	{"config.patch", "{'changes': [{'op': 'del', 'section': 'ports', 'name': 'wan'}]}", "EBUSY",
		"chains.web.to", "chain web uses port \"wan\"", "delete the chain"},
	{"config.patch", "{'changes': [{'op': 'add', 'section': 'prots', 'name': 'x'}]}", "EINVAL",
		"prots", "unknown section", "did you mean ports?"},
	{"config.patch", "{'changes': [{'op': 'add', 'section': 'ports', 'name': 'x'}]}", "EINVAL",
		"ports", "needs a value", "a map of fields"},
	{"config.patch", "{'changes': [{'op': 'add', 'section': 'ports', 'value': {}}]}", "EINVAL",
		"ports", "which port", "a name"},
	{"config.patch", "{'changes': [{'op': 'del', 'section': 'engine'}]}", "EINVAL", "engine",
		"can only be set", "use set"},
	{"config.patch", "{'changes': [{'op': 'replace', 'section': 'ports'}]}", "EINVAL",
		"changes.0.op", "replace", "add, set, del"},
	/* parameters */
	{"config.get", "{'section': 'port'}", "ENOENT", "port", "unknown section",
		"did you mean ports?"},
	{"config.get", "{'section': 'ports', 'name': 'wna'}", "ENOENT", "ports.wna", "unknown port",
		"did you mean wan?"},
	{"config.get", "{'name': 'wan'}", "EINVAL", "section", "missing", "name the section"},
	{"config.apply", "{'document': {}, 'confirm_s': -1}", "EINVAL", "confirm_s", "-1",
		"0..86400"},
	{"config.apply", "{}", "EINVAL", "document", "must be given", "any value"},
	{"config.apply", "{'document': 3}", "EINVAL", "", "a number is not a document", "a map"},
	{"config.save", "{'path': 'netvm.yaml'}", "EINVAL", "path", "depends on the folder",
		"an absolute path"},
	{"config.save", "{'path': '/nonexistent/x/y'}", "ENOENT", "path", "/nonexistent/x/y",
		"a folder"},
	{"config.confirm", "{}", "ENOENT", "", "waits to be confirmed", ""},
	{"config.rollback", "{}", "ENOENT", "", "no earlier state", ""},
	{"events.get", "{'wait_ms': 60001}", "EINVAL", "wait_ms", "60001", "0..60000 (ms)"},
};

static json_t *refused(const struct wrong *wrong)
{
	if (wrong->method)
		return call_error(wrong->method, wrong->text);
	return apply_error(wrong->text);
}

static bool contains(const json_t *data, const char *field, const char *part)
{
	const char *text = json_string_value(json_object_get(data, field));

	return text && strstr(text, part);
}

static bool equals(const json_t *data, const char *field, const char *wanted)
{
	const char *text = json_string_value(json_object_get(data, field));

	return text && strcmp(text, wanted) == 0;
}

static void check_error(const struct wrong *wrong, const json_t *error)
{
	const json_t *data = json_object_get(error, "data");
	bool good = equals(data, "code", wrong->code) && equals(data, "path", wrong->path) &&
		    contains(data, "message", wrong->message) &&
		    contains(data, "hint", wrong->hint);

	if (!good) {
		char *text = json_dumps(error, 0);

		print_error("%s\n  gave %s\n", wrong->text, text);
		free(text);
	}
	assert_true(good);
}

/* Descriptors this process has open. */
static int count_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

static void each_is_an_error_and_changes_nothing(void **state)
{
	char *before;
	int fds, opened;

	(void)state;
	daemon_start(0);
	apply(running);
	store_forget_past();
	before = running_document();
	fds = count_fds();
	opened = fake.n_ports;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *error = refused(&cases[i]);
		char *after;

		check_error(&cases[i], error);
		json_decref(error);
		after = running_document();
		assert_string_equal(after, before);
		free(after);
		assert_int_equal(count_fds(), fds);
		assert_int_equal(fake.n_ports, opened);
		assert_int_equal(fake.n_pools, 2);
	}
	free(before);
	daemon_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_an_error_and_changes_nothing),
	};

	return cmocka_run_group_tests_name("bad input", tests, NULL, NULL);
}
