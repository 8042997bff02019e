/*
 * Documents, from text to what the engine is told (manager/schema.c, store.c, document.c,
 * modules/group, port, chain and stats over a fake engine).
 *
 * Properties: what is refused changes nothing and says why; what is applied is what runs, complete
 * and stable: completing it again adds nothing, it differs from itself in nothing; every program
 * that reaches the engine ends, every rule names one; a second document on top of the first is
 * undone by one rollback; with the empty document nothing is left.
 * Input: one document, or two with a NUL between them.
 */
#include "manager/modules.h"
#include "manager/store.h"
#include "manager/testing/daemon.h"
#include "manager/testing/fake.h"
#include "manager/yaml.h"
#include "tests/fuzz/fuzz.h"

static void steering_is_sound(void)
{
	for (unsigned i = 0; i < fake.n_programs; i++) {
		const struct program_options *program = &fake.programs[i];

		require(program->n_steps >= 1 && program->n_steps <= PROGRAM_STEPS_MAX);
		for (unsigned s = 0; s < program->n_steps; s++)
			require((program->step[s].op == PROGRAM_CALL) ==
				(s + 1 < program->n_steps));
	}
	for (unsigned i = 0; i < fake.n_rules; i++) {
		const struct match *match = &fake.rules[i].match;

		require(fake.rules[i].program < fake.n_programs);
		require(match->src_port_min <= match->src_port_max);
		require(match->dst_port_min <= match->dst_port_max);
		require(match->src_prefix <= 128 && match->dst_prefix <= 128);
		require(match->vlan < 4096);
	}
}

static void runs(const json_t *given)
{
	struct error error = {0};
	json_t *changes = NULL;

	require(json_equal(store_given(), given));
	require(store_check(store_given(), &changes, &error) == 0);
	require(json_array_size(changes) == 0);
	json_decref(changes);
	/* Given as it was completed, it is the same document. */
	require(store_check(store_complete(), &changes, &error) == 0);
	require(json_array_size(changes) == 0);
	json_decref(changes);
	steering_is_sound();
}

/* 0 when it runs now. */
static int try(const char *text)
{
	struct error error = {0};
	json_t *given = NULL, *changes = NULL, *before = json_deep_copy(store_complete());
	int checked, rc = yaml_parse(text, strlen(text), &given, &error);

	if (rc == 0) {
		checked = store_check(given, NULL, &error);
		rc = store_apply(given, 0, &changes, &error);
		require(checked == 0 || rc != 0);
	}
	if (rc == 0)
		runs(given);
	else
		require(error.message[0] && json_equal(store_complete(), before));
	json_decref(given);
	json_decref(changes);
	json_decref(before);
	return rc;
}

static void try_both(const char *first, const char *second)
{
	struct error error = {0};
	json_t *before, *changes = NULL;

	try(first);
	before = json_deep_copy(store_complete());
	if (second && try(second) == 0 && !json_equal(store_complete(), before)) {
		require(store_rollback(&changes, &error) == 0);
		json_decref(changes);
		require(json_equal(store_complete(), before));
	}
	json_decref(before);
}

static void empty(void)
{
	struct error error = {0};
	json_t *nothing = json_object(), *changes = NULL;

	require(store_apply(nothing, 0, &changes, &error) == 0);
	json_decref(changes);
	json_decref(nothing);
	store_forget_past();
	require(fake.n_ports == 0 && fake.n_services == 0 && fake.n_pools == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	struct feed feed = {data, size};
	char *text = feed_text(&feed);
	size_t length = strlen(text);

	if (!started) {
		daemon_start(0);
		atexit(daemon_stop);
		started = true;
	}
	try_both(text, length < size ? text + length + 1 : NULL);
	empty();
	free(text);
	return 0;
}
