/* A guest's devices and its session. See guest.h. */
#include "modules/nf/guest_parts.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "abi/guest.h"
#include "manager/module.h"
#include "modules/guest/agent.h"
#include "modules/guest/bell.h"
#include "modules/guest/ivshmem.h"
#include "modules/guest/monitor.h"
#include "modules/nf/hello.h"

#define FOLDER        "guest"
#define BELL_PAUSE_US 5000

static void tell(const struct guest *guest, const char *kind, const char *text)
{
	nf_tell(guest->options.settings->name, kind, "%s", text);
}

/* What a guest or its QEMU says it may say all day long. */
static void quote(struct guest *guest, const char *kind, const char *text)
{
	complain_as(&guest->complaints, kind, guest->options.settings->name, "%s", text);
}

/* ---- the session ----------------------------------------------------------------------------- */

static int offer(struct guest *guest)
{
	return session_create_over(guest->channel_fd, guest->channel_bytes,
		guest->vector_fd + NETVM_GUEST_WORKER(0), guest->n_vectors - 1, &guest->offered);
}

void guest_offer_again(struct guest *guest)
{
	session_destroy(guest->offered);
	guest->offered = NULL;
	if (offer(guest))
		tell(guest, "nf-refused", "no room to offer the guest its channel again");
}

static void hello(struct guest *guest)
{
	const struct attach_hooks *hooks = guest->options.hooks;
	const bool rehearses = guest->options.monitored;
	struct session *session = guest->offered;
	struct attach_request request = {
		.pid = guest->peer.pid,
		.uid = guest->peer.uid,
		.guest = guest,
	};
	char text[NETVM_TEXT_BYTES] = "";
	struct attach_grant grant = {0};
	int ring_fd[NETVM_QUEUES_MAX];

	guest->offered = NULL;
	for (unsigned i = 0; i < guest->options.settings->n_queues; i++)
		ring_fd[i] = guest->ring[i].fd;
	if (session_lend_bells(session, ring_fd, guest->options.settings->n_queues))
		tell(guest, "nf-slow", "no descriptors left to wake the guest: it polls");
	session->peer_pid = guest->peer.pid;
	session->peer_uid = guest->peer.uid;
	if (hello_answer(session, guest->options.manager->engine,
		    rehearses ? guest_admit_rehearsal : hooks->admit, &request, &grant, text)) {
		quote(guest, "nf-refused", text);
		session_destroy(session);
		return;
	}
	if (rehearses) {
		guest->offered = session; /* until it has left */
		return;
	}
	session->owner = grant.owner;
	guest->attached = session;
	hooks->attached(grant.owner, session);
}

/* Act by the state of its channel. The end of this may be the end of the guest. */
static void look(struct guest *guest)
{
	uint32_t state = __atomic_load_n(&guest->channel->state, __ATOMIC_ACQUIRE);

	if (guest->is_leaving) {
		if (state == NETVM_STATE_READY || state == NETVM_STATE_HELLO)
			return;
		guest->is_leaving = false;
		guest_run(guest, PLUG_TIMEOUT_MS);
	} else if (guest->attached && state != NETVM_STATE_READY)
		guest->options.hooks->gone(guest->options.owner, guest->attached,
			state == NETVM_STATE_GONE ? "" : "it changed the state of its channel");
	else if (guest->attached)
		return;
	else if (guest->offered && state == NETVM_STATE_HELLO)
		hello(guest);
	else if (state == NETVM_STATE_GONE || (!guest->offered && state == NETVM_STATE_REFUSED))
		guest_offer_again(guest);
}

void guest_session_closed(struct guest *guest)
{
	if (!guest)
		return;
	guest->attached = NULL;
	if (guest->is_here && !guest->is_leaving &&
		__atomic_load_n(&guest->channel->state, __ATOMIC_ACQUIRE) == NETVM_STATE_GONE)
		guest_offer_again(guest);
}

/* ---- doorbell -------------------------------------------------------------------------------- */

static void bell_event(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval pause = {0, BELL_PAUSE_US};
	struct guest *guest = arg;
	uint64_t count;
	struct iovec part = {&count, sizeof(count)};

	(void)what;
	(void)!preadv2(fd, &part, 1, -1, RWF_NOWAIT);
	event_del(guest->bell);
	event_add(guest->pause, &pause);
	look(guest);
}

static void pause_event(evutil_socket_t fd, short what, void *arg)
{
	struct guest *guest = arg;

	(void)fd;
	(void)what;
	event_add(guest->bell, NULL);
	if (guest->is_leaving)
		look(guest);
}

/* ---- QEMU ------------------------------------------------------------------------------------ */

static bool peer_allowed(void *arg, const struct peer *peer)
{
	struct guest *guest = arg;
	char text[80];

	if (guest->options.allowed(guest->options.owner, peer))
		return true;
	/* All that QEMU will say is that the server's version is wrong. */
	snprintf(text, sizeof(text), "process %d of user %u may not have its devices", peer->pid,
		peer->uid);
	quote(guest, "nf-refused", text);
	return false;
}

static void qemu_connected(void *arg, const struct peer *peer)
{
	struct guest *guest = arg;

	guest->peer = *peer;
	guest->is_here = true;
}

/* What it had stays with nobody: the next one gets a fresh channel. */
static void qemu_gone(void *arg)
{
	const struct guest_options *options = &((struct guest *)arg)->options;
	struct guest *guest = arg;

	guest->is_here = false;
	if (options->settings->external)
		event_active(guest->renew, EV_TIMEOUT, 0);
	if (guest->attached)
		options->hooks->gone(options->owner, guest->attached, "");
}

static void monitor_said(void *arg, const char *name, const json_t *data)
{
	const char *reason = json_string_value(json_object_get(data, "reason"));
	struct guest *guest = arg;

	if (strcmp(name, "SHUTDOWN") == 0 && reason &&
		(strcmp(reason, "guest-reset") == 0 || strcmp(reason, "guest-panic") == 0))
		snprintf(guest->fault, sizeof(guest->fault),
			"the guest's kernel panicked, or it was reset (%s)", reason);
	else if (strcmp(name, "GUEST_PANICKED") == 0)
		quote(guest, "guest-panic", "the guest's kernel panicked");
	else if (strcmp(name, "STOP") == 0)
		quote(guest, "guest-paused", "QEMU has stopped the guest");
	else if (strcmp(name, "RESUME") == 0)
		quote(guest, "guest-resumed", "the guest goes on");
}

static void monitor_refused(void *arg, const char *text)
{
	quote(arg, "guest-monitor", text);
}

static void monitor_ready(void *arg)
{
	const struct guest *guest = arg;

	if (guest->options.monitored)
		guest->options.monitored(guest->options.owner);
}

void guest_power_down(struct guest *guest)
{
	if (guest)
		monitor_execute(guest->monitor, "system_powerdown");
}

/* The exit status of the NF, as a shell knows it, if the guest's init has told it. */
static void last_words(struct guest *guest)
{
	char text[16], *end;
	long status;

	bell_words(&guest->ring[0], text, sizeof(text));
	status = strtol(text, &end, 10);
	if (end == text || *end != '\n' || status < 0 || status > 255)
		return;
	if (status == 0)
		guest->fault[0] = '\0';
	else if (status > 128 && status - 128 < NSIG)
		snprintf(guest->fault, sizeof(guest->fault),
			"in the guest killed by signal %ld (%.20s)", status - 128,
			strsignal((int)status - 128));
	else
		snprintf(guest->fault, sizeof(guest->fault), "in the guest exited with status %ld",
			status);
}

const char *guest_fault(struct guest *guest)
{
	if (!guest)
		return "";
	monitor_hear_out(guest->monitor);
	last_words(guest);
	return guest->fault;
}

/* ---- memory ---------------------------------------------------------------------------------- */

size_t guest_channel_need(
	const struct manager *manager, const struct nf_settings *settings, struct buffer_pool *pool)
{
	struct netvm_layout layout;

	nf_layout(manager->engine, pool, settings->ring_words, settings->stock_words,
		settings->n_queues, &layout);
	return layout.channel_bytes;
}

size_t guest_channel_bytes(const struct guest *guest)
{
	return guest->channel_bytes;
}

static int channel_open(struct guest *guest)
{
	const struct guest_options *options = &guest->options;
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	const size_t need = guest_channel_need(options->manager, options->settings, options->pool);
	void *header;

	guest->channel_bytes = ivshmem_size(need);
	guest->channel_fd = memfd_create("netvm-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (guest->channel_fd < 0 || ftruncate(guest->channel_fd, (off_t)guest->channel_bytes) ||
		fallocate(guest->channel_fd, 0, 0, (off_t)need) ||
		fcntl(guest->channel_fd, F_ADD_SEALS, seals))
		return -errno;
	header = mmap(NULL, sizeof(*guest->channel), PROT_READ | PROT_WRITE, MAP_SHARED,
		guest->channel_fd, 0);
	if (header == MAP_FAILED)
		return -errno;
	guest->channel = header;
	return 0;
}

static int vectors_open(struct guest *guest)
{
	struct event_base *base = guest->options.manager->base;

	guest->n_vectors = NETVM_GUEST_WORKER(engine_n_workers(guest->options.manager->engine));
	for (unsigned i = 0; i < guest->n_vectors; i++) {
		guest->vector_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (guest->vector_fd[i] < 0)
			return -errno;
	}
	guest->bell = event_new(
		base, guest->vector_fd[NETVM_GUEST_STATE], EV_READ | EV_PERSIST, bell_event, guest);
	guest->pause = evtimer_new(base, pause_event, guest);
	return guest->bell && guest->pause && event_add(guest->bell, NULL) == 0 ? 0 : -ENOMEM;
}

/* ---- devices --------------------------------------------------------------------------------- */

void guest_socket_of(
	char path[PATH_BYTES], const struct manager *manager, const char *name, const char *what)
{
	snprintf(path, PATH_BYTES, "%s/" FOLDER "/%s.%s", manager->run_dir, name, what);
}

void guest_socket(char path[PATH_BYTES], const struct guest *guest, const char *what)
{
	guest_socket_of(path, guest->options.manager, guest->sockets, what);
}

static int device_open(struct guest *guest, const char *what, int memory_fd, unsigned n_vectors,
	struct ivshmem **device, struct error *error)
{
	char path[PATH_BYTES];
	const struct guest_options *options = &guest->options;
	struct ivshmem_options device_options = {
		.base = options->manager->base,
		.path = path,
		.memory_fd = memory_fd,
		.n_vectors = n_vectors,
		.allowed = peer_allowed,
		.connected = n_vectors ? qemu_connected : NULL,
		.gone = qemu_gone,
		.arg = guest,
	};
	int rc;

	guest_socket(path, guest, what);
	memcpy(device_options.vector_fd, guest->vector_fd, n_vectors * sizeof(int));
	rc = ivshmem_open(&device_options, device, error);
	if (rc)
		error_prefix(error, what);
	return rc;
}

static int rings_open(struct guest *guest, struct error *error)
{
	const struct guest_options *options = &guest->options;
	char path[PATH_BYTES], what[16];
	int rc = 0;

	for (unsigned i = 0; i < options->settings->n_queues && !rc; i++) {
		snprintf(what, sizeof(what), BELL_SOCKET, i);
		guest_socket(path, guest, what);
		rc = bell_open(
			&guest->ring[i], options->manager->base, path, peer_allowed, guest, error);
	}
	return rc;
}

/* Only the daemon may connect, this one or the next. */
static int monitor_bind(struct guest *guest, struct error *error)
{
	char path[PATH_BYTES];

	guest_socket(path, guest, "qmp");
	if (guest->options.sockets)
		return listener_find(&guest->monitor_socket, path, error);
	return listener_bind(&guest->monitor_socket, path, 0600, error);
}

static int monitor_start(struct guest *guest, struct error *error)
{
	const struct guest_options *options = &guest->options;
	const char *running = value_text(options->settings->object, "monitor");
	const struct monitor_options monitor = {
		.base = options->manager->base,
		.path = running ? running : guest->monitor_socket.path,
		.event = monitor_said,
		.refused = monitor_refused,
		.ready = running || options->sockets ? guest_plug_running : monitor_ready,
		.arg = guest,
	};
	int rc;

	if (options->settings->external && !running)
		return 0;
	rc = running ? 0 : monitor_bind(guest, error);
	return rc ? rc : monitor_open(&monitor, &guest->monitor, error);
}

int guest_take_monitor(struct guest *guest)
{
	int fd = guest->monitor_socket.fd;

	guest->monitor_socket.fd = -1;
	return fd;
}

static void parts_close(struct guest *guest)
{
	session_destroy(guest->offered);
	guest->offered = NULL;
	ivshmem_close(guest->channel_device);
	ivshmem_close(guest->group_device);
	guest->channel_device = guest->group_device = NULL;
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		bell_close(&guest->ring[i]);
	if (guest->bell)
		event_free(guest->bell);
	if (guest->pause)
		event_free(guest->pause);
	guest->bell = guest->pause = NULL;
	for (unsigned i = 0; i < guest->n_vectors; i++)
		if (guest->vector_fd[i] >= 0)
			close(guest->vector_fd[i]);
	if (guest->channel)
		munmap(guest->channel, sizeof(*guest->channel));
	if (guest->channel_fd >= 0)
		close(guest->channel_fd);
	guest->channel = NULL;
	guest->channel_fd = -1;
}

static int parts_open(struct guest *guest, struct error *error)
{
	int rc;

	memset(guest->vector_fd, -1, sizeof(guest->vector_fd));
	rc = channel_open(guest);
	if (!rc)
		rc = vectors_open(guest);
	if (!rc)
		rc = offer(guest);
	if (rc)
		return error_set(
			error, -rc, "", "", "a guest's channel and doorbells: %s", strerror(-rc));
	rc = device_open(guest, "channel", guest->channel_fd, guest->n_vectors,
		&guest->channel_device, error);
	if (!rc)
		rc = device_open(
			guest, "group", guest->options.pool->memfd, 0, &guest->group_device, error);
	return rc ? rc : rings_open(guest, error);
}

static void renew_event(evutil_socket_t fd, short what, void *arg)
{
	struct guest *guest = arg;
	struct error error = {0};

	(void)fd;
	(void)what;
	parts_close(guest);
	if (parts_open(guest, &error)) {
		parts_close(guest);
		tell(guest, "nf-refused", error.message);
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

static int folder_make(const struct manager *manager, struct error *error)
{
	char path[PATH_BYTES];

	snprintf(path, sizeof(path), "%s/" FOLDER, manager->run_dir);
	if (mkdir(path, 0755) && errno != EEXIST)
		return error_set(error, errno, "", "", "%s: %s", path, strerror(errno));
	return 0;
}

int guest_open(const struct guest_options *options, struct guest **guest, struct error *error)
{
	struct guest *made;
	int rc = folder_make(options->manager, error);

	if (rc)
		return rc;
	made = calloc(1, sizeof(*made));
	if (!made)
		return error_set(error, ENOMEM, "", "", "no memory for a guest");
	made->options = *options;
	snprintf(made->sockets, sizeof(made->sockets), "%s",
		options->sockets ? options->sockets : options->settings->name);
	if (options->sockets)
		made->options.sockets = made->sockets;
	made->channel_fd = made->monitor_socket.fd = -1;
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		made->ring[i].fd = made->ring[i].listener.fd = -1;
	made->renew = evtimer_new(options->manager->base, renew_event, made);
	rc = made->renew ? parts_open(made, error)
			 : error_set(error, ENOMEM, "", "", "no memory for a guest");
	if (!rc)
		rc = monitor_start(made, error);
	if (rc) {
		guest_close(made);
		return rc;
	}
	*guest = made;
	return 0;
}

void guest_close(struct guest *guest)
{
	if (!guest)
		return;
	parts_close(guest);
	monitor_close(guest->monitor);
	listener_close(&guest->monitor_socket);
	agent_close(guest->agent);
	if (guest->renew)
		event_free(guest->renew);
	free(guest);
}

void guest_leave(struct guest *guest)
{
	if (guest)
		guest->monitor_socket.inode = 0;
	guest_close(guest);
}

void guest_give(struct guest *guest, const struct guest_options *options, struct agent *agent)
{
	guest->options = *options;
	guest->agent = agent;
}
