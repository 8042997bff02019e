/* One command after the other. See script.h. */
#include "modules/guest/script.h"

#include <assert.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEPS_MAX 16u

struct step {
	const char *command;
	json_t *arguments;
	int fd;
	const char *event; /* NULL: the answer is all */
	char key[16], value[32], failing[16];
	bool optional;
	bool answered, heard;
};

struct script {
	struct event *timer;
	void (*done)(void *, const char *);
	void *arg;
	struct qmp *qmp; /* NULL: does not run */
	json_int_t id;   /* of the command that was sent last */
	unsigned n, at;
	struct step step[STEPS_MAX];
};

static void finish(struct script *script, const char *failure)
{
	event_del(script->timer);
	script->qmp = NULL;
	script->done(script->arg, failure);
}

static void fail(struct script *script, const char *why)
{
	char text[256];

	snprintf(text, sizeof(text), "%s: %s", script->step[script->at].command, why);
	finish(script, text);
}

static void next(struct script *script)
{
	static json_int_t ids; /* never the same again: a late answer is nobody's */
	const struct step *step = &script->step[script->at];
	int rc;

	if (script->at == script->n) {
		finish(script, NULL);
		return;
	}
	script->id = ++ids;
	rc = qmp_send(script->qmp, script->id, step->command, step->arguments, step->fd);
	if (rc)
		fail(script, strerror(-rc));
}

static void go_on(struct script *script)
{
	const struct step *step = &script->step[script->at];

	if (!step->answered || (step->event && !step->heard))
		return;
	script->at++;
	next(script);
}

/* ---- what the monitor hears ------------------------------------------------------------------ */

void script_event(struct script *script, const char *name, const json_t *data)
{
	struct step *step = script && script->qmp ? &script->step[script->at] : NULL;
	const char *value;

	if (!step || !step->event || strcmp(step->event, name) != 0)
		return;
	value = json_string_value(json_object_get(data, step->key));
	if (!value)
		return;
	if (strcmp(value, step->value) == 0) {
		step->heard = true;
		go_on(script);
	} else if (step->failing[0] && strcmp(value, step->failing) == 0) {
		fail(script, value);
	}
}

void script_answered(struct script *script, json_int_t id, const char *refusal)
{
	struct step *step = script && script->qmp ? &script->step[script->at] : NULL;

	if (!step || id != script->id)
		return;
	if (refusal && !step->optional) {
		fail(script, refusal);
		return;
	}
	step->answered = true;
	step->heard |= refusal != NULL;
	go_on(script);
}

void script_gone(struct script *script)
{
	if (script && script->qmp)
		fail(script, "QEMU has ended");
}

static void timer_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	fail(arg, "QEMU, or the guest, does not answer");
}

/* ---- life ------------------------------------------------------------------------------------ */

struct script *script_create(struct event_base *base, void (*done)(void *, const char *), void *arg)
{
	struct script *script = calloc(1, sizeof(*script));

	if (!script)
		return NULL;
	script->done = done;
	script->arg = arg;
	script->timer = evtimer_new(base, timer_event, script);
	if (script->timer)
		return script;
	free(script);
	return NULL;
}

void script_free(struct script *script)
{
	if (!script)
		return;
	event_free(script->timer);
	for (unsigned i = 0; i < script->n; i++) {
		json_decref(script->step[i].arguments);
		if (script->step[i].fd >= 0)
			close(script->step[i].fd);
	}
	free(script);
}

static void step_add(struct script *script, const char *command, json_t *arguments, int fd)
{
	assert(script->n < STEPS_MAX);
	script->step[script->n++] =
		(struct step){.command = command, .arguments = arguments, .fd = fd};
}

void script_add(struct script *script, const char *command, json_t *arguments)
{
	step_add(script, command, arguments, -1);
}

void script_add_fd(struct script *script, const char *name, int fd)
{
	step_add(script, "getfd", json_pack("{s:s}", "fdname", name), fd);
}

void script_await(struct script *script, const char *event, const char *key, const char *value)
{
	struct step *step = &script->step[script->n - 1];

	step->event = event;
	snprintf(step->key, sizeof(step->key), "%s", key);
	snprintf(step->value, sizeof(step->value), "%s", value);
}

void script_fails_on(struct script *script, const char *value)
{
	struct step *step = &script->step[script->n - 1];

	snprintf(step->failing, sizeof(step->failing), "%s", value);
}

void script_optional(struct script *script)
{
	script->step[script->n - 1].optional = true;
}

void script_run(struct script *script, struct qmp *qmp, unsigned timeout_ms)
{
	const struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

	script->qmp = qmp;
	event_add(script->timer, &timeout);
	if (!qmp)
		fail(script, "QEMU has not connected");
	else
		next(script);
}
