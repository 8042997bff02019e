/* A guest's monitor. See monitor.h. */
#include "modules/guest/monitor.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DIAL_AGAIN_S 1

struct monitor {
	struct monitor_options options;
	struct sockaddr_un address;
	struct listener listener;
	struct event *dial;
	int refused; /* errno of the last try to connect: each is told once */
	struct qmp *qmp;
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
	const struct monitor *monitor = arg;

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

	if (monitor->options.dial)
		event_add(monitor->dial, &pause);
}

static void heard_end(void *arg)
{
	struct monitor *monitor = arg;

	qmp_close(monitor->qmp);
	monitor->qmp = NULL;
	dial_later(monitor);
	script_gone(monitor->script);
}

static const struct qmp_hooks hooks = {
	heard_event, heard_refusal, heard_ready, heard_answer, heard_end};

/* ---- connecting ------------------------------------------------------------------------------ */

static void connected(void *arg, int fd, const struct peer *peer)
{
	struct monitor *monitor = arg;
	const struct monitor_options *options = &monitor->options;

	if (monitor->qmp || !options->allowed(options->arg, peer))
		close(fd);
	else
		qmp_open(options->base, fd, &hooks, monitor, &monitor->qmp);
}

static int dial(struct monitor *monitor)
{
	const struct sockaddr *address = (const struct sockaddr *)&monitor->address;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
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

static int dial_open(struct monitor *monitor, struct error *error)
{
	const char *path = monitor->options.path;

	monitor->listener.fd = -1;
	if (strlen(path) >= sizeof(monitor->address.sun_path))
		return error_set(error, ENAMETOOLONG, "", "", "%s is longer than %zu bytes", path,
			sizeof(monitor->address.sun_path) - 1);
	monitor->address.sun_family = AF_UNIX;
	strcpy(monitor->address.sun_path, path);
	monitor->dial = evtimer_new(monitor->options.base, dial_event, monitor);
	if (!monitor->dial)
		return error_set(error, ENOMEM, "", "", "no memory for a monitor");
	event_active(monitor->dial, EV_TIMEOUT, 0);
	return 0;
}

int monitor_open(
	const struct monitor_options *options, struct monitor **monitor, struct error *error)
{
	struct monitor *made = calloc(1, sizeof(*made));
	int rc;

	if (!made)
		return error_set(error, ENOMEM, "", "", "no memory for a monitor");
	made->options = *options;
	rc = options->dial ? dial_open(made, error)
			   : listener_open(&made->listener, options->base, options->path, connected,
				     made, error);
	if (rc)
		free(made);
	else
		*monitor = made;
	return rc;
}

void monitor_close(struct monitor *monitor)
{
	if (!monitor)
		return;
	script_free(monitor->script);
	qmp_close(monitor->qmp);
	listener_close(&monitor->listener);
	if (monitor->dial)
		event_free(monitor->dial);
	free(monitor);
}

bool monitor_is_connected(const struct monitor *monitor)
{
	return monitor && monitor->qmp;
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
