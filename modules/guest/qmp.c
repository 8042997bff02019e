/* QEMU's monitor. See qmp.h. */
#include "modules/guest/qmp.h"

#include <errno.h>
#include <event2/event.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct qmp {
	int fd; /* -1: gone */
	struct event *event;
	const struct qmp_hooks *hooks;
	void *arg;
	bool greeted;
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

static int say(struct qmp *qmp, const char *command)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "{\"execute\": \"%s\"}\n", command);

	if (n >= (int)sizeof(text))
		return -EINVAL;
	return send(qmp->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) == n ? 0 : -errno;
}

/* ---- what it says ---------------------------------------------------------------------------- */

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
		qmp->hooks->refused(qmp->arg, sentence ? sentence : "without saying why");
	else if (!json_object_get(object, "return"))
		return -1;
	return 0;
}

static int line_take(struct qmp *qmp, const char *line, size_t length)
{
	json_t *object;
	int rc;

	if (strspn(line, " \t\r") >= length)
		return 0;
	object = json_loadb(line, length, 0, NULL);
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
		if (line_take(qmp, start, length))
			return -1;
		start = end + 1;
		left -= length + 1;
	}
	memmove(qmp->line, start, left);
	qmp->length = left;
	return left == sizeof(qmp->line) ? -1 : 0;
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
	struct qmp *qmp = arg;
	ssize_t n =
		recv(fd, qmp->line + qmp->length, sizeof(qmp->line) - qmp->length, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		qmp->length += (size_t)n;
	if (n <= 0 || lines_take(qmp))
		disconnect(qmp);
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
	free(qmp);
}

int qmp_execute(struct qmp *qmp, const char *command)
{
	return qmp && qmp->fd >= 0 && qmp->greeted ? say(qmp, command) : -ENOTCONN;
}
