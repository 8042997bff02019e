/* QEMU's monitor. See qmp.h. */
#include "modules/guest/qmp.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/memory.h"
#include "common/passing.h"

#define HEAR_OUT_MAX 64 /* lots; of one that goes on for ever no end can be awaited */

struct qmp {
	int fd; /* -1: gone */
	struct event *event;
	const struct qmp_hooks *hooks;
	void *arg;
	bool greeted;
	bool ready;
	bool busy;     /* within a hook: closing it waits */
	bool closed;   /* by the owner */
	size_t length; /* of what `line` holds so far */
	char line[QMP_LINE_MAX];
};

static void disconnect(struct qmp *qmp)
{
	if (qmp->event)
		event_free(qmp->event);
	if (qmp->fd >= 0)
		close(qmp->fd);
	qmp->event = NULL;
	qmp->fd = -1;
}

/* One line, with a descriptor or (-1) without. Half a line would be the end of all sense. */
static int line_send(struct qmp *qmp, const char *line, int fd)
{
	return passing_send(qmp->fd, line, strlen(line), &fd, fd >= 0);
}

/* Takes over the object. */
static int object_send(struct qmp *qmp, json_t *object, int fd)
{
	char *text = json_dumps(object, 0), *line = NULL;
	int rc = -ENOMEM;

	if (text && asprintf(&line, "%s\n", text) >= 0)
		rc = line_send(qmp, line, fd);
	json_decref(object);
	free(text);
	free(line);
	return rc;
}

static int say(struct qmp *qmp, const char *command)
{
	return object_send(qmp, json_pack("{s:s}", "execute", command), -1);
}

/* ---- what it says ---------------------------------------------------------------------------- */

/* To a command of ours: the first is qmp_capabilities. */
static void answer_take(struct qmp *qmp, const json_t *id, const char *refusal)
{
	const struct qmp_hooks *hooks = qmp->hooks;

	if (id && hooks->answered)
		hooks->answered(qmp->arg, json_integer_value(id), refusal);
	else if (!id && refusal && hooks->refused)
		hooks->refused(qmp->arg, refusal);
	else if (!qmp->ready && !refusal) {
		qmp->ready = true;
		if (hooks->ready)
			hooks->ready(qmp->arg);
	}
}

/* 0, or -1 for what no monitor says. */
static int object_take(struct qmp *qmp, const json_t *object)
{
	const char *event = json_string_value(json_object_get(object, "event"));
	const json_t *error = json_object_get(object, "error");
	const char *sentence = json_string_value(json_object_get(error, "desc"));

	if (!qmp->greeted) {
		qmp->greeted = json_is_object(json_object_get(object, "QMP"));
		return qmp->greeted && say(qmp, "qmp_capabilities") == 0 ? 0 : -1;
	}
	if (event)
		qmp->hooks->event(qmp->arg, event, json_object_get(object, "data"));
	else if (error)
		answer_take(qmp, json_object_get(object, "id"),
			sentence ? sentence : "without saying why");
	else if (json_object_get(object, "return"))
		answer_take(qmp, json_object_get(object, "id"), NULL);
	else
		return -1;
	return 0;
}

static int line_take(struct qmp *qmp, const char *line, size_t length)
{
	json_t *object;
	int rc;

	if (strspn(line, " \t\r") >= length)
		return 0;
	memory_read_json(line, length, 0, &object, NULL);
	rc = json_is_object(object) ? object_take(qmp, object) : -1;
	json_decref(object);
	return rc;
}

static int lines_take(struct qmp *qmp)
{
	char *start = qmp->line, *end;
	size_t left = qmp->length;

	while ((end = memchr(start, '\n', left))) {
		size_t length = (size_t)(end - start);

		*end = '\0';
		if (line_take(qmp, start, length) || qmp->closed)
			return -1;
		start = end + 1;
		left -= length + 1;
	}
	memmove(qmp->line, start, left);
	qmp->length = left;
	return left == sizeof(qmp->line) ? -1 : 0;
}

/* False when there is nothing, for now or for ever; then the monitor may be no more. */
static bool take(struct qmp *qmp)
{
	ssize_t n = recv(
		qmp->fd, qmp->line + qmp->length, sizeof(qmp->line) - qmp->length, MSG_DONTWAIT);
	bool goes_on;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0)
		qmp->length += (size_t)n;
	qmp->busy = true;
	goes_on = n > 0 && lines_take(qmp) == 0;
	if (!goes_on) {
		disconnect(qmp);
		if (!qmp->closed && qmp->hooks->gone)
			qmp->hooks->gone(qmp->arg);
	}
	qmp->busy = false;
	if (qmp->closed)
		free(qmp);
	return goes_on;
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	take(arg);
}

static bool has_words(const struct qmp *qmp)
{
	int n = 0;

	return qmp->fd >= 0 && ioctl(qmp->fd, FIONREAD, &n) == 0 && n > 0;
}

void qmp_hear_out(struct qmp *qmp)
{
	for (unsigned i = 0; i < HEAR_OUT_MAX && qmp && has_words(qmp) && take(qmp); i++)
		;
}

/* ---- life ------------------------------------------------------------------------------------ */

int qmp_open(
	struct event_base *base, int fd, const struct qmp_hooks *hooks, void *arg, struct qmp **qmp)
{
	struct qmp *made = calloc(1, sizeof(*made));

	if (!made) {
		close(fd);
		return -ENOMEM;
	}
	made->fd = fd;
	made->hooks = hooks;
	made->arg = arg;
	made->event = event_new(base, fd, EV_READ | EV_PERSIST, readable, made);
	if (!made->event || event_add(made->event, NULL)) {
		qmp_close(made);
		return -ENOMEM;
	}
	*qmp = made;
	return 0;
}

void qmp_close(struct qmp *qmp)
{
	if (!qmp)
		return;
	disconnect(qmp);
	qmp->closed = true;
	if (!qmp->busy)
		free(qmp);
}

int qmp_execute(struct qmp *qmp, const char *command)
{
	return qmp && qmp->fd >= 0 && qmp->greeted ? say(qmp, command) : -ENOTCONN;
}

int qmp_send(struct qmp *qmp, json_int_t id, const char *command, const json_t *arguments, int fd)
{
	json_t *object;

	if (!qmp || qmp->fd < 0 || !qmp->greeted)
		return -ENOTCONN;
	object = json_pack("{s:s, s:I}", "execute", command, "id", id);
	if (!object)
		return -ENOMEM;
	if (arguments)
		json_object_set(object, "arguments", (json_t *)arguments);
	return object_send(qmp, object, fd);
}
