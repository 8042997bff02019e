/* Who has which role, and what each role may call: the real RPC and store over the fakes. */
#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "manager/role.h"
#include "manager/rpc.h"
#include "manager/testing/daemon.h"

/* Users and groups every Debian has. */
#define DAEMON_UID 1
#define BIN_UID    2
#define SYS_UID    3
#define DAEMON_GID 1
#define ADM_GID    4
#define TTY_GID    5

static const char document[] = "ports: {lan: {spec: 'fake:lan'}, wan: {spec: 'fake:wan'}}\n"
			       "groups: {red: {}}\n"
			       "api:\n"
			       "  daemon: {role: view}\n"
			       "  b: {user: bin, role: nf, group: red}\n"
			       "  adm: {unix_group: adm, role: operate}\n"
			       "  tty: {unix_group: tty, role: admin}\n";

static int setup(void **state)
{
	(void)state;
	daemon_start(0);
	apply(document);
	return 0;
}

static const struct {
	const char *what;
	struct caller caller;
	enum role role;
	const char *group;
} callers[] = {
	{"root", {0, 1, {0}}, ROLE_ADMIN},
	{"a user who is named", {DAEMON_UID, 1, {DAEMON_GID}}, ROLE_VIEW},
	{"his own entry counts, not a group's", {DAEMON_UID, 2, {1, TTY_GID}}, ROLE_VIEW},
	{"an NF", {BIN_UID, 1, {2}}, ROLE_NF, "red"},
	{"a member of a group", {SYS_UID, 2, {3, ADM_GID}}, ROLE_OPERATE},
	{"the mightiest group counts", {SYS_UID, 3, {3, ADM_GID, TTY_GID}}, ROLE_ADMIN},
	{"nobody named", {SYS_UID, 1, {3}}, ROLE_NONE},
};

static void test_callers(void **state)
{
	struct caller self = {.uid = geteuid()};

	(void)state;
	assert_int_equal(role_of(&self).role, ROLE_ADMIN);
	for (size_t i = 0; i < sizeof(callers) / sizeof(*callers); i++) {
		struct role_grant grant = role_of(&callers[i].caller);

		if (grant.role != callers[i].role)
			fail_msg("%s: %s, wanted %s", callers[i].what, role_name(grant.role),
				role_name(callers[i].role));
		if (callers[i].group)
			assert_string_equal(grant.group, callers[i].group);
		else
			assert_null(grant.group);
	}
}

/* With the section gone only the group netvm is left. */
static void test_taken_back(void **state)
{
	(void)state;
	apply("{}\n");
	for (size_t i = 1; i < sizeof(callers) / sizeof(*callers); i++)
		assert_int_equal(role_of(&callers[i].caller).role, ROLE_NONE);
}

/* ---- methods --------------------------------------------------------------------------------- */

static char *answer_text;

static void keep_answer(struct rpc_peer *peer, const char *text, size_t length)
{
	(void)peer;
	free(answer_text);
	answer_text = strndup(text, length);
}

/* The answer to a caller of that role; new reference. */
static json_t *ask(enum role role, const char *method, const char *params)
{
	struct rpc_peer peer;
	json_t *answer;
	char *text;

	assert_true(
		asprintf(&text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}",
			method, params) > 0);
	rpc_peer_init(&peer, keep_answer);
	peer.grant = (struct role_grant){role, role == ROLE_NF ? "red" : NULL};
	rpc_input(&peer, text, strlen(text));
	free(text);
	answer = json_loads(answer_text, 0, NULL);
	free(answer_text);
	answer_text = NULL;
	assert_non_null(answer);
	return answer;
}

#define SET(section, name, value)                                                                  \
	"{\"changes\":[{\"op\":\"add\",\"section\":\"" section "\",\"name\":\"" name               \
	"\",\"value\":" value "}]}"

/* A mightier role may all that a lesser one may: the last that may, and it is refused below. */
static const struct {
	const char *method, *params;
	enum role least;
} calls[] = {
	{"daemon.info", "{}", ROLE_NF},
	{"schema.get", "{}", ROLE_NF},
	{"stats.get", "{}", ROLE_NF},
	{"events.get", "{}", ROLE_VIEW},
	{"drops.get", "{}", ROLE_VIEW},
	{"config.get", "{}", ROLE_VIEW},
	{"config.check", "{\"document\":{}}", ROLE_VIEW},
	{"config.patch", SET("chains", "c", "{\"from\":\"lan\",\"to\":\"wan\",\"path\":[]}"),
		ROLE_OPERATE},
	{"config.rollback", "{}", ROLE_OPERATE},
	{"config.patch", SET("ports", "p", "{\"spec\":\"fake:p\"}"), ROLE_ADMIN},
	{"config.rollback", "{}", ROLE_ADMIN},
	{"config.apply", "{\"document\":{}}", ROLE_ADMIN},
	{"config.rollback", "{}", ROLE_ADMIN},
	{"config.patch", SET("api", "sys", "{\"role\":\"admin\"}"), ROLE_ADMIN},
	{"config.save", "{\"path\":\"/nonexistent/x\"}", ROLE_ADMIN},
};

/* Whether the caller was refused for its role; then the error names the role it takes. */
static bool is_refused(json_t *answer, enum role needed)
{
	const json_t *data = json_object_get(json_object_get(answer, "error"), "data");
	const char *code = json_string_value(json_object_get(data, "code"));
	bool refused = code && strcmp(code, "EACCES") == 0;
	char wanted[64];

	snprintf(wanted, sizeof(wanted), "takes the role %s;", role_name(needed));
	if (refused)
		assert_non_null(
			strstr(json_string_value(json_object_get(data, "message")), wanted));
	json_decref(answer);
	return refused;
}

static void test_methods(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		const char *method = calls[i].method, *params = calls[i].params;

		for (enum role role = ROLE_NONE; role > calls[i].least; role--) {
			json_t *answer = ask(role, method, params);
			bool by_method = role > ROLE_OPERATE && calls[i].least == ROLE_ADMIN;

			/* The method alone takes less than what it is asked to do. */
			if (!is_refused(answer, by_method ? ROLE_OPERATE : calls[i].least))
				fail_msg("%s %s: role %s may", method, params, role_name(role));
		}
		if (is_refused(ask(calls[i].least, method, params), calls[i].least))
			fail_msg("%s %s: role %s may not", method, params,
				role_name(calls[i].least));
	}
}

/* For callers, by schema.get. */
static void test_all_methods_say_their_role(void **state)
{
	json_t *methods = rpc_export(), *method;
	const char *name;

	(void)state;
	json_object_foreach (methods, name, method) {
		const char *role = json_string_value(json_object_get(method, "role"));

		assert_non_null(role);
		assert_string_not_equal(role, "none");
	}
	json_decref(methods);
}

static void test_nf_sees_its_group(void **state)
{
	json_t *answer, *result, *ports;

	(void)state;
	apply("ports: {lan: {spec: 'fake:lan'}, inner: {spec: 'fake:inner', group: red}}\n"
	      "groups: {red: {}}\n");
	answer = ask(ROLE_NF, "stats.get", "{}");
	result = json_object_get(answer, "result");
	ports = json_object_get(result, "ports");
	assert_non_null(json_object_get(ports, "inner"));
	assert_null(json_object_get(ports, "lan"));
	assert_null(json_object_get(result, "books"));
	json_decref(answer);
}

/* ---- what the section refuses ---------------------------------------------------------------- */

static const struct {
	const char *yaml, *path;
} wrong[] = {
	{"api: {nobody-knows-me: {role: view}}", "api.nobody-knows-me.user"},
	{"api: {x: {unix_group: nobody-knows-it, role: view}}", "api.x.unix_group"},
	{"api: {x: {user: bin, unix_group: adm, role: view}}", "api.x.unix_group"},
	{"api: {bin: {role: nf}}", "api.bin.group"},
	{"api: {bin: {role: view, group: default}}", "api.bin.group"},
	{"api: {bin: {role: nf, group: blue}}", "api.bin.group"},
	{"api: {bin: {role: king}}", "api.bin.role"},
	{"api: {bin: {}}", "api.bin.role"},
};

static void test_wrong_sections(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		json_t *error = apply_error(wrong[i].yaml);

		assert_string_equal(
			json_string_value(json_object_get(json_object_get(error, "data"), "path")),
			wrong[i].path);
		json_decref(error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_callers, setup, daemon_teardown),
		cmocka_unit_test_setup_teardown(test_taken_back, setup, daemon_teardown),
		cmocka_unit_test_setup_teardown(test_methods, setup, daemon_teardown),
		cmocka_unit_test_setup_teardown(
			test_all_methods_say_their_role, setup, daemon_teardown),
		cmocka_unit_test_setup_teardown(test_nf_sees_its_group, setup, daemon_teardown),
		cmocka_unit_test_setup_teardown(test_wrong_sections, setup, daemon_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
