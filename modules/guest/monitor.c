/* A guest's monitor. See monitor.h. */
#include "modules/guest/monitor.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/passing.h"

#define DIAL_AGAIN_S 1

struct monitor {
	struct monitor_options options;
	struct sockaddr_un address;
	struct event *dial;
	int refused; /* errno of the last try to connect: each is told once */
	struct qmp *qmp;
	bool ready; /* it takes commands */
	struct script *script;
};

/* ---- what QEMU says -------------------------------------------------------------------------- */

static void heard_event(void *arg, const char *name, const json_t *data)
{
	struct monitor *monitor = arg;

	monitor->options.event(monitor->options.arg, name, data);
	script_event(monitor->script, name, data); /* its end may be the monitor's */
}

static void heard_refusal(void *arg, const char *text)
{
	const struct monitor *monitor = arg;

	monitor->options.refused(monitor->options.arg, text);
}

static void heard_ready(void *arg)
{
	struct monitor *monitor = arg;

	monitor->ready = true;
	if (monitor->options.ready)
		monitor->options.ready(monitor->options.arg);
}

static void heard_answer(void *arg, json_int_t id, const char *refusal)
{
	struct monitor *monitor = arg;

	script_answered(monitor->script, id, refusal);
}

static void dial_later(struct monitor *monitor)
{
	const struct timeval pause = {DIAL_AGAIN_S, 0};

	event_add(monitor->dial, &pause);
}

static void heard_end(void *arg)
{
	struct monitor *monitor = arg;

	qmp_close(monitor->qmp);
	monitor->qmp = NULL;
	monitor->ready = false;
	dial_later(monitor);
	script_gone(monitor->script);
}

static const struct qmp_hooks hooks = {
	heard_event, heard_refusal, heard_ready, heard_answer, heard_end};

/* ---- connecting ------------------------------------------------------------------------------ */

static int dial(struct monitor *monitor)
{
	const struct sockaddr *address = (const struct sockaddr *)&monitor->address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	passing_refuse(fd);
	if (connect(fd, address, sizeof(monitor->address)) == 0)
		return qmp_open(monitor->options.base, fd, &hooks, monitor, &monitor->qmp);
	rc = -errno;
	close(fd);
	return rc;
}

static void dial_event(evutil_socket_t fd, short what, void *arg)
{
	struct monitor *monitor = arg;
	int rc = dial(monitor);
	char text[256];

	(void)fd;
	(void)what;
	if (rc)
		dial_later(monitor);
	if (rc && rc != monitor->refused) {
		snprintf(text, sizeof(text), "%s: %s; trying again every second",
			monitor->address.sun_path, strerror(-rc));
		monitor->options.refused(monitor->options.arg, text);
	}
	monitor->refused = rc;
}

/* ---- life ------------------------------------------------------------------------------------ */

int monitor_open(
	const struct monitor_options *options, struct monitor **monitor, struct error *error)
{
	struct monitor *made = calloc(1, sizeof(*made));

	if (!made)
		return error_set(error, ENOMEM, "", "", "no memory for a monitor");
	made->options = *options;
	made->address.sun_family = AF_UNIX;
	if (strlen(options->path) >= sizeof(made->address.sun_path)) {
		free(made);
		return error_set(error, ENAMETOOLONG, "", "", "%s is longer than %zu bytes",
			options->path, sizeof(made->address.sun_path) - 1);
	}
	strcpy(made->address.sun_path, options->path);
	made->dial = evtimer_new(options->base, dial_event, made);
	if (!made->dial) {
		free(made);
		return error_set(error, ENOMEM, "", "", "no memory for a monitor");
	}
	event_active(made->dial, EV_TIMEOUT, 0);
	*monitor = made;
	return 0;
}

void monitor_close(struct monitor *monitor)
{
	if (!monitor)
		return;
	script_free(monitor->script);
	qmp_close(monitor->qmp);
	event_free(monitor->dial);
	free(monitor);
}

bool monitor_is_ready(const struct monitor *monitor)
{
	return monitor && monitor->ready;
}

int monitor_execute(struct monitor *monitor, const char *command)
{
	return qmp_execute(monitor ? monitor->qmp : NULL, command);
}

void monitor_hear_out(struct monitor *monitor)
{
	if (monitor)
		qmp_hear_out(monitor->qmp);
}

struct script *monitor_script(
	struct monitor *monitor, void (*done)(void *, const char *), void *arg)
{
	script_free(monitor->script);
	monitor->script = script_create(monitor->options.base, done, arg);
	return monitor->script;
}

void monitor_run(struct monitor *monitor, unsigned timeout_ms)
{
	script_run(monitor->script, monitor->qmp, timeout_ms);
}
