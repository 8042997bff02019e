/* One NF's memory, doorbells and place in the engine. See session.h; called by attach.c. */
#include "modules/nf/session.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/passing.h"

#define READY_FDS_MAX (1 + NETVM_QUEUES_MAX + NETVM_WORKERS_MAX)
_Static_assert(READY_FDS_MAX <= PASSING_FDS_MAX, "all descriptors fit one message");

/* ---- life ------------------------------------------------------------------------------------ */

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void channel_offer(struct netvm_channel *channel)
{
	channel->magic = NETVM_CHANNEL_MAGIC;
	channel->abi_min = NETVM_ABI_VERSION;
	channel->abi_max = NETVM_ABI_VERSION;
	channel->header_bytes = sizeof(struct netvm_channel);
	__atomic_store_n(&channel->state, NETVM_STATE_OFFERED, __ATOMIC_RELEASE);
}

static int channel_map(struct session *session, size_t size)
{
	void *channel =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, session->channel_fd, 0);

	if (channel == MAP_FAILED)
		return -errno;
	session->channel = channel;
	session->mapped_bytes = size;
	return 0;
}

/*
 * Plain pages on purpose, also where there are huge ones: the NF may punch holes into the memory,
 * and a hole in huge pages can be a SIGBUS for the daemon when none is left to fill it.
 */
static int channel_create(struct session *session)
{
	const size_t size = sizeof(struct netvm_channel);
	int rc;

	session->channel_fd = memfd_create("netvm-channel", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (session->channel_fd < 0 || fallocate(session->channel_fd, 0, 0, (off_t)size) ||
		fcntl(session->channel_fd, F_ADD_SEALS, F_SEAL_SHRINK))
		return -errno;
	rc = channel_map(session, size);
	if (!rc)
		channel_offer(session->channel);
	return rc;
}

static struct session *session_new(int fd)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->fd = fd;
	session->awaited = NETVM_MESSAGE_HELLO;
	session->peer_pidfd = session->channel_fd = -1;
	memset(session->bell, -1, sizeof(session->bell));
	memset(session->worker_fd, -1, sizeof(session->worker_fd));
	return session;
}

int session_create(int fd, struct session **session)
{
	struct session *made = session_new(fd);
	int rc;

	if (!made) {
		close(fd);
		return -ENOMEM;
	}
	rc = channel_create(made);
	if (rc) {
		session_destroy(made);
		return rc;
	}
	*session = made;
	return 0;
}

static int duplicate(int fd, int *copy)
{
	*copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *copy < 0 ? -errno : 0;
}

int session_create_over(int channel_fd, size_t size, const int *worker_fd, unsigned n_workers,
	struct session **session)
{
	struct session *made = session_new(-1);
	int rc;

	if (!made)
		return -ENOMEM;
	made->complete = true;
	rc = duplicate(channel_fd, &made->channel_fd);
	for (unsigned i = 0; i < n_workers && !rc; i++)
		rc = duplicate(worker_fd[i], &made->worker_fd[i]);
	if (!rc)
		rc = channel_map(made, size);
	if (rc) {
		session_destroy(made);
		return rc;
	}
	memset(made->channel, 0, size);
	channel_offer(made->channel);
	*session = made;
	return 0;
}

int session_lend_bells(struct session *session, const int *fd, unsigned n)
{
	int rc = 0;

	for (unsigned i = 0; i < n && fd[i] >= 0 && !rc; i++)
		rc = duplicate(fd[i], &session->bell[i][1]);
	return rc;
}

void session_destroy(struct session *session)
{
	if (!session)
		return;
	if (session->event)
		event_free(session->event);
	if (session->channel)
		munmap(session->channel, session->mapped_bytes);
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++) {
		close_fd(session->bell[i][0]);
		close_fd(session->bell[i][1]);
	}
	for (unsigned i = 0; i < NETVM_WORKERS_MAX; i++)
		close_fd(session->worker_fd[i]);
	close_fd(session->channel_fd);
	close_fd(session->peer_pidfd);
	close_fd(session->fd);
	free(session);
}

/* ---- READY ----------------------------------------------------------------------------------- */

/*
 * The NF has had the descriptor since the offer: it may have grown the file or added seals of its
 * own. After our seals its size is final; then it is looked at.
 */
static int channel_grow(struct session *session)
{
	const size_t size = session->layout.channel_bytes;
	struct stat st;
	void *grown;

	if (session->complete)
		return size <= session->mapped_bytes ? 0 : -ENOSPC;
	if (fallocate(session->channel_fd, 0, 0, (off_t)size))
		return errno == EPERM ? -EPROTO : -errno;
	if (fcntl(session->channel_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return errno == EPERM ? -EPROTO : -errno;
	if (fstat(session->channel_fd, &st))
		return -errno;
	if (st.st_size != (off_t)size)
		return -EPROTO;
	grown = mremap(session->channel, session->mapped_bytes, size, MREMAP_MAYMOVE);
	if (grown == MAP_FAILED)
		return -errno;
	session->channel = grown;
	session->mapped_bytes = size;
	return 0;
}

/* Rings begin empty, also when the NF wrote behind the header before it was told to. */
static void channel_clear(struct session *session)
{
	memset((uint8_t *)session->channel + sizeof(struct netvm_channel), 0,
		session->mapped_bytes - sizeof(struct netvm_channel));
}

/* A guest's are the ports that its QEMU has connected; see session_lend_bells(). */
static int bells_create(struct session *session)
{
	if (session->complete)
		return 0;
	for (unsigned i = 0; i < session->layout.n_queues; i++)
		if (pipe2(session->bell[i], O_CLOEXEC | O_NONBLOCK))
			return -errno;
	for (unsigned i = 0; i < session->layout.n_workers; i++) {
		session->worker_fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (session->worker_fd[i] < 0)
			return -errno;
	}
	return 0;
}

/* What of the features asked for this NF can have. */
static uint32_t features_granted(
	const struct session *session, uint32_t features, uint32_t n_queues, uint32_t stock_words)
{
	if (stock_words == 0)
		features &= ~(uint32_t)NETVM_FEATURE_STOCK;
	/* A guest has no socket to hand state over by. */
	if (session->complete)
		features &= ~(uint32_t)NETVM_FEATURE_STATE;
	for (unsigned i = 0; i < n_queues; i++)
		if (session->complete && session->bell[i][1] < 0)
			features &= ~(uint32_t)NETVM_FEATURE_BELL;
	return features;
}

static void answer_fill(struct session *session, const struct netvm_hello *hello,
	const struct attach_grant *grant, uint32_t features)
{
	struct netvm_answer answer = {
		.abi_version = NETVM_ABI_VERSION,
		.features = features,
		.instance = grant->instance,
	};

	snprintf(answer.name, sizeof(answer.name), "%s", hello->name);
	snprintf(answer.service, sizeof(answer.service), "%s", grant->service_name);
	snprintf(answer.group, sizeof(answer.group), "%s", grant->pool->name);
	session->channel->answer = answer;
	session->channel->layout = session->layout;
}

static int session_join(struct session *session, const char *name, const struct attach_grant *grant,
	uint32_t features, struct error *error)
{
	struct nf_options options = {
		.name = name,
		.service = grant->service,
		.channel = session->channel,
		.layout = &session->layout,
		.features = features,
		.standby = grant->standby,
		.stock_quota = grant->stock_words,
		.parked = grant->parked,
	};

	if (grant->rehearses) {
		session->channel->control = NETVM_CONTROL_STOP;
		return 0;
	}
	for (unsigned i = 0; i < NETVM_QUEUES_MAX; i++)
		options.queue_fd[i] = session->bell[i][1];
	for (unsigned i = 0; i < NETVM_WORKERS_MAX; i++)
		options.worker_fd[i] = session->worker_fd[i];
	return engine_nf_attach(session->engine, &options, &session->nf, error);
}

int session_ready(struct session *session, struct engine *engine, const struct netvm_hello *hello,
	const struct attach_grant *grant, struct error *error)
{
	uint32_t stock_words = grant->stock_words;
	uint32_t features =
		features_granted(session, hello->features, hello->n_queues, stock_words);
	int rc;

	session->features = features;
	if (stock_words < NETVM_RING_WORDS_MIN)
		stock_words = NETVM_RING_WORDS_MIN;
	session->engine = engine;
	nf_layout(engine, grant->pool, grant->ring_words, stock_words, hello->n_queues,
		&session->layout);
	rc = channel_grow(session);
	if (rc)
		return error_set(error, -rc, "", "", "the channel: %s",
			rc == -EPROTO ? "the NF resized or sealed it" : strerror(-rc));
	channel_clear(session);
	rc = bells_create(session);
	if (rc)
		return error_set(error, -rc, "", "", "doorbells: %s", strerror(-rc));
	answer_fill(session, hello, grant, features);
	rc = session_join(session, hello->name, grant, features, error);
	if (rc)
		return rc;
	__atomic_store_n(&session->channel->state, NETVM_STATE_READY, __ATOMIC_RELEASE);
	return 0;
}

void session_refuse(struct session *session, uint32_t refusal, const char *text)
{
	struct netvm_answer answer = {
		.abi_version = NETVM_ABI_VERSION,
		.refusal = refusal,
	};

	snprintf(answer.text, sizeof(answer.text), "%s", text);
	session->channel->answer = answer;
	__atomic_store_n(&session->channel->state, NETVM_STATE_REFUSED, __ATOMIC_RELEASE);
}

/* ---- messages -------------------------------------------------------------------------------- */

int session_send(const struct session *session, enum netvm_message_type type, uint64_t value,
	const int *fds, unsigned n_fds)
{
	struct netvm_message message = {
		.magic = NETVM_SOCKET_MAGIC,
		.type = (uint16_t)type,
		.n_fds = (uint16_t)n_fds,
		.value = value,
	};

	return passing_send(session->fd, &message, sizeof(message), fds, n_fds);
}

int session_send_ready(const struct session *session, const struct buffer_pool *pool)
{
	int fds[READY_FDS_MAX] = {pool->memfd};
	unsigned n = 1;

	for (unsigned i = 0; i < session->layout.n_queues; i++)
		fds[n++] = session->bell[i][0];
	for (unsigned i = 0; i < session->layout.n_workers; i++)
		fds[n++] = session->worker_fd[i];
	return session_send(session, NETVM_MESSAGE_READY, pool->size_bytes, fds, n);
}

/* An answer does not say to which question: the next one is put when the last one was answered. */
int session_ask(struct session *session, uint32_t type, uint64_t value, int fd)
{
	if (session->awaited)
		return -EBUSY;
	session->awaited = type == NETVM_MESSAGE_SAVE ? NETVM_MESSAGE_SAVED : NETVM_MESSAGE_LOADED;
	return session_send(session, type, value, &fd, 1);
}

bool session_has_state(const struct session *session)
{
	return session->features & NETVM_FEATURE_STATE;
}

bool session_beats(const struct session *session)
{
	for (unsigned q = 0; q < session->layout.n_queues; q++)
		if (__atomic_load_n(&session->channel->queue[q].heartbeat, __ATOMIC_RELAXED) == 0)
			return false;
	return true;
}

/* ---- the end --------------------------------------------------------------------------------- */

unsigned session_close(struct session *session, enum drop_reason reason, uint64_t drain_ns,
	struct counters *counters)
{
	unsigned lost = 0;

	if (session->nf) {
		lost = engine_nf_detach(session->engine, session->nf, reason, drain_ns, counters);
		/* Out of the engine nobody writes here but us; closing the connection wakes the NF.
		 */
		if (!session->goes_on)
			__atomic_store_n(&session->channel->control,
				NETVM_CONTROL_STOP | (session->moves ? NETVM_CONTROL_MOVE : 0),
				__ATOMIC_RELEASE);
		for (unsigned i = 0; i < session->layout.n_queues; i++)
			(void)!write(session->bell[i][1], "", 1);
		session->nf = NULL;
	}
	session_destroy(session);
	return lost;
}

bool session_took_leave(const struct session *session)
{
	return __atomic_load_n(&session->channel->state, __ATOMIC_ACQUIRE) == NETVM_STATE_GONE;
}

void session_ask_move(struct session *session)
{
	session->moves = true;
	__atomic_store_n(&session->channel->control, NETVM_CONTROL_MOVE, __ATOMIC_RELAXED);
}

void session_let_go_on(struct session *session)
{
	session->goes_on = true;
}

struct nf *session_nf(const struct session *session)
{
	return session->nf;
}

pid_t session_pid(const struct session *session)
{
	return session->peer_pid;
}

uint32_t session_n_queues(const struct session *session)
{
	return session->layout.n_queues;
}
