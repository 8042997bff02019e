/* What an idle guest is told. See agent.h. */
#include "modules/guest/agent.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char word[] = "READY\n";

struct agent {
	struct agent_options options;
	struct listener listener;
	int fd; /* -1: not connected */
	struct event *event;
	size_t n_heard; /* bytes of `word` so far */
};

static void hang_up(struct agent *agent)
{
	if (agent->event)
		event_free(agent->event);
	if (agent->fd >= 0)
		close(agent->fd);
	agent->event = NULL;
	agent->fd = -1;
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
	struct agent *agent = arg;
	const struct agent_options *options = &agent->options;
	char text[sizeof(word)];
	ssize_t n = recv(fd, text, sizeof(word) - 1 - agent->n_heard, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || memcmp(text, word + agent->n_heard, (size_t)n) != 0) {
		hang_up(agent);
		options->broken(options->arg);
		return;
	}
	agent->n_heard += (size_t)n;
	if (agent->n_heard < sizeof(word) - 1)
		return;
	event_del(agent->event);
	options->ready(options->arg);
}

static void connected(void *arg, int fd, const struct peer *peer)
{
	struct agent *agent = arg;

	if (agent->fd >= 0 || !agent->options.allowed(agent->options.arg, peer)) {
		close(fd);
		return;
	}
	agent->fd = fd;
	agent->event = event_new(agent->options.base, fd, EV_READ | EV_PERSIST, readable, agent);
	if (!agent->event || event_add(agent->event, NULL))
		hang_up(agent);
}

int agent_open(const struct agent_options *options, struct agent **agent, struct error *error)
{
	struct agent *made = calloc(1, sizeof(*made));
	int rc;

	if (!made)
		return error_set(error, ENOMEM, "", "", "no memory for an agent");
	made->options = *options;
	made->fd = -1;
	rc = listener_open(&made->listener, options->base, options->path, connected, made, error);
	if (rc)
		free(made);
	else
		*agent = made;
	return rc;
}

void agent_close(struct agent *agent)
{
	if (!agent)
		return;
	hang_up(agent);
	listener_close(&agent->listener);
	free(agent);
}

static int tell(const struct agent *agent, const char *text, size_t size)
{
	ssize_t n;

	if (agent->fd < 0)
		return -ENOTCONN;
	n = send(agent->fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == (ssize_t)size)
		return 0;
	return n < 0 ? -errno : -EAGAIN;
}

static int order(
	const struct agent *agent, const char *name, const char *service, char *const *argv)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int rc;

	if (!out)
		return -ENOMEM;
	fprintf(out, "%s\n%s\n", name, service);
	for (; argv && *argv; argv++)
		fprintf(out, "%s\n", *argv);
	fputs("\n", out);
	rc = fclose(out) ? -ENOMEM : tell(agent, text, size);
	free(text);
	return rc;
}

int agent_rehearse(struct agent *agent)
{
	int rc = order(agent, "rehearsal", "", NULL);

	agent->n_heard = 0;
	return rc ? rc : event_add(agent->event, NULL) ? -ENOMEM : 0;
}

int agent_run(struct agent *agent, const char *name, const char *service, char *const *argv)
{
	int rc = order(agent, name, service, argv);

	if (rc)
		return rc;
	event_del(agent->event);
	listener_close(&agent->listener);
	return 0;
}
